#!/usr/bin/env python3
"""A real SMTP server (aiosmtpd) for delivery_test.py: writes each message into a folder, and says on its standard output where it listens.
Run: smtp_server.py FOLDER [CERTIFICATE KEY [USER PASSWORD]]. With a certificate it wants STARTTLS, with a user that too.
A file FOLDER/refuse has the answer to every message (e.g. "451 later")."""
import json
import os
import socket
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

folder, certificate, credentials = sys.argv[1], sys.argv[2:4], sys.argv[4:6]


class Mailbox:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        refusal = f"{folder}/refuse"
        if os.path.exists(refusal):
            with open(refusal) as f:
                return f.read().strip()
        Mailbox.count += 1
        name = f"{folder}/{Mailbox.count:04}.json"
        with open(name + ".part", "w") as f:
            json.dump({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None, "user": session.auth_data.login.decode() if session.authenticated else None,
                       "message": envelope.content.decode("utf-8")}, f)
        os.rename(name + ".part", name)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and [data.login.decode(), data.password.decode()] == credentials
    return AuthResult(success=good, handled=good, auth_data=data)


options = {}
if certificate:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    options.update(tls_context=context, require_starttls=True)
if credentials:
    options.update(authenticator=authenticate, auth_required=True)
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
controller = Controller(Mailbox(), hostname="127.0.0.1", port=port, **options)
controller.start()
print(port, flush=True)
while True:
    time.sleep(3600)
