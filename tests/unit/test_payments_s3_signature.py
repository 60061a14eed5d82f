"""Signature Version 4: AWS's own examples of S3."""

from datetime import UTC, datetime

import pytest

from services.payments.adapters.s3_signature import Key, signed_headers

EXAMPLE = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
HOST = "examplebucket.s3.amazonaws.com"
AT = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "query", "more", "signature"),
    [
        ("/test.txt", {}, {"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/", {"lifecycle": ""}, {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/", {"max-keys": "2", "prefix": "J"}, {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["GET Object", "GET Bucket Lifecycle", "GET Bucket (List Objects)"],
)
def test_the_examples_of_the_documentation_come_out_to_the_letter(
    path: str, query: dict[str, str], more: dict[str, str], signature: str
) -> None:
    headers = signed_headers(EXAMPLE, HOST, path, query, AT, more)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert EXAMPLE.secret not in str(headers)
