"""Prints a `.env` for `make up` with fresh secrets: `python3 deploy/local_env.py > .env`. Standard library only."""

import secrets

TEMPLATE = """\
# For docker compose on this machine. Made once; the volumes hold data under these passwords.
DUNNOCK_POSTGRES_PASSWORD={postgres}
DUNNOCK_RABBITMQ_PASSWORD={rabbitmq}
DUNNOCK_SECRET_KEY={secret}
DUNNOCK_API_KEY={key}
DUNNOCK_EMAIL_FROM=billing@example.com
DUNNOCK_MAIL_DOMAIN=mail.example.com
# 1: messages go to the built-in doubles, nobody is written to. Remove it and name real providers to reach customers:
DUNNOCK_SANDBOX=1
# DUNNOCK_SMTP_URL=smtp://user:password@relay.example.com:587
# DUNNOCK_TWILIO_ACCOUNT_SID=AC...
# DUNNOCK_TWILIO_AUTH_TOKEN=...
# DUNNOCK_TWILIO_SMS_FROM=+...
# DUNNOCK_TWILIO_VOICE_FROM=+...
# DUNNOCK_TWILIO_WHATSAPP_FROM=+...
# DUNNOCK_TWILIO_RCS_SERVICE_SID=MG...
"""

if __name__ == "__main__":
    names = ("postgres", "rabbitmq", "secret", "key")
    print(TEMPLATE.format(**{name: secrets.token_urlsafe(24) for name in names}), end="")
