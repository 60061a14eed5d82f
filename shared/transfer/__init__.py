"""What a bank transfer needs to be told, and the codes that banking apps read: on the pay page and in mails. Pure."""

from shared.transfer.codes import Drawn, transfer_code
from shared.transfer.transfer import Transfer

__all__ = ["Drawn", "Transfer", "transfer_code"]
