"""Which hosts an outgoing call may name, in every notation that somebody may try."""

from ipaddress import ip_address

import pytest

from shared.outgoing import Allowed, Guard, TargetRefused
from shared.outgoing.addresses import why_denied


async def nobody_is_asked(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


async def everybody_is_public(host: str, port: int) -> list[str]:
    return ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.8.9.10/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://192.0.0.192/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://1.1.1.0x1/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://[64:ff9b:1::1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[2001:db8::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[ff02::1]/",
        "https://[fe80::1%25eth0]/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://127%2e0%2e0%2e1/",
    ],
)
async def test_an_address_that_is_not_the_internets_is_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(TargetRefused):
        await Guard(Allowed(), nobody_is_asked).check_url(url)


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://[2606:4700:4700::1111]/", "https://100.128.0.1:8443/x?y"])
async def test_an_address_of_the_internet_passes(url: str) -> None:
    await Guard(Allowed(), nobody_is_asked).check_url(url)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://api.example/", "without TLS"),
        ("ftp://api.example/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://api.example:25/", "https://"),
        ("//api.example/", "https://"),
        ("https:///path", "https://"),
        ("https://user:secret@api.example/", "user name"),
        ("https://api.example\r\nHost: x/", "not a URL"),
        ("https://api.example:99999/", "no port 99999"),
        ("https://" + "a" * 3000, "longer"),
    ],
)
async def test_what_is_no_plain_https_url_is_refused_with_the_reason(url: str, what: str) -> None:
    with pytest.raises(TargetRefused, match=what) as refused:
        await Guard(Allowed(), everybody_is_public).check_url(url)
    assert "secret" not in str(refused.value)


async def test_one_denied_address_among_the_hosts_addresses_denies_the_host() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(TargetRefused, match=r"10\.0\.0\.1 is a private network.*DUNNOCK_OUTGOING_ALLOW"):
        await Guard(Allowed(), both).check_url("https://api.example/")


async def test_a_host_that_cannot_be_found_now_may_be_saved() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    await Guard(Allowed(), nowhere).check_url("https://api.example/")


@pytest.mark.parametrize("allow", ["10.0.0.0/8", "10.0.0.1", "ERP.internal.", "10.0.0.0/8, other.internal"])
async def test_what_the_operator_names_is_reached_also_without_tls(allow: str) -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    await Guard(Allowed.parse(allow), inside).check_url("http://erp.internal:8080/paid")


async def test_a_name_that_is_allowed_opens_no_other_name() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    guard = Guard(Allowed.parse("erp.internal"), inside)
    for url in ("https://internal/", "https://x.erp.internal/", "https://10.0.0.1/"):
        with pytest.raises(TargetRefused):
            await guard.check_url(url)


@pytest.mark.parametrize("text", ["erp internal", "10.0.0.1/8", "https://erp", "300.1.2.3", "-x", "*"])
def test_a_malformed_exception_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="neither a host nor a network"):
        Allowed.parse(text)


@pytest.mark.parametrize(("address", "reason"), [("2002::1", "6to4"), ("::2", "reserved"), ("4000::1", "reserved")])
def test_a_reason_is_always_given(address: str, reason: str) -> None:
    assert why_denied(ip_address(address)) == reason
