"""What messages say and how a mail is put together: pure, used by the preview and by the dispatcher."""

from shared.content.catalog import Catalog
from shared.content.facts import MessageFacts, OwedInvoice, Rendered
from shared.content.mime import Attachment, HeaderRefused, MailHeaders, build_mail
from shared.content.pictures import Picture, Pictures
from shared.content.template import CompiledTemplate, TemplateRefused, TemplateSource, compile_template, compile_value

__all__ = [
    "Attachment",
    "Catalog",
    "CompiledTemplate",
    "HeaderRefused",
    "MailHeaders",
    "MessageFacts",
    "OwedInvoice",
    "Picture",
    "Pictures",
    "Rendered",
    "TemplateRefused",
    "TemplateSource",
    "build_mail",
    "compile_template",
    "compile_value",
]
