"""An FTP server with TLS whose data connections have to resume the control connection's session.

    python ftp_server.py CERTIFICATE FOLDER

Serves FOLDER to the user "user" and prints its port.
"""

import logging
import sys

from OpenSSL import SSL
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer


def note_certificate(connection, where, result):
    # Only a full handshake shows it.
    if connection.get_state_string().endswith(b"write certificate"):
        connection.set_app_data("full handshake")


class ResumingDataHandler(TLS_DTPHandler):
    def handle_ssl_established(self):
        if self.socket.get_app_data() == "full handshake":
            self.cmd_channel.respond("522 The data connection has to resume the session.")
            self.close()


class ControlHandler(TLS_FTPHandler):
    dtp_handler = ResumingDataHandler
    tls_control_required = tls_data_required = True


def main(certificate, folder):
    logging.disable()
    context = ControlHandler.ssl_context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(certificate)
    context.use_privatekey_file(certificate)
    context.set_session_id(b"ftp")
    context.set_info_callback(note_certificate)
    ControlHandler.authorizer = DummyAuthorizer()
    ControlHandler.authorizer.add_user("user", "password", folder, perm="elradfmw")
    server = FTPServer(("127.0.0.1", 0), ControlHandler)
    print(server.address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
