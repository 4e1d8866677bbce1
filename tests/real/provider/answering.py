"""What every provider here does to answer over HTTP."""

import itertools
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wire import chunks


class Answering(BaseHTTPRequestHandler):
    """Answers in JSON or as a stream, each with a request id."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    key = os.environ.get("PROVIDER_KEY", "")
    numbers = itertools.count(1)

    def _request_id(self):
        return f"req_{next(self.numbers):06}"

    def _json(self, status, value, headers=None):
        body = json.dumps(value, ensure_ascii=False).encode()
        self._head(status, "application/json", headers or {})
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, frames):
        self._head(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in chunks(frames):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status, content_type, headers):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("x-request-id", self._request_id())
        for name, value in headers.items():
            self.send_header(name, value)

    def log_message(self, *_):
        pass


def serve(handler):
    """Serves on a free port of this machine, whose address it prints."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
