"""The scripted model as an OpenAI-compatible endpoint: `python -m scripted --port 8399`."""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from scripted.model import complete


class Handler(BaseHTTPRequestHandler):
    """Answers `POST /v1/chat/completions`."""

    def do_POST(self) -> None:
        try:
            content = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
            status, answer = 200, complete(content)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            status, answer = 400, {"error": {"message": repr(error)}}
        if not self.path.endswith("/chat/completions"):
            status, answer = 404, {"error": {"message": f"no route {self.path}"}}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8399, help="0 takes a free one")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
