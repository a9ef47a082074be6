"""`python -m tests.drills.fuzz.replay FILE HOST:PORT [METHOD]`: send a kept request again.

METHOD is the full name of a gRPC method, if the request was a message of gRPC.
"""

import sys
from pathlib import Path

import grpc

from tests.drills.fuzz.request import Request
from tests.drills.fuzz.sending import send


def main(file: str, address: str, grpc_method: str = "") -> int:
    """Print the response; return 1 if it is a failure of the server, or none came."""
    host, _, port = address.rpartition(":")
    request = Request(0, "", "", Path(file).read_bytes(), grpc_method=grpc_method)
    with grpc.insecure_channel(address) as channel:
        answer = send(request, (host, int(port)), channel)
    print(answer.status, answer.headers, answer.body[:2000].decode(errors="replace"), sep="\n")
    return 0 if answer.status == "OK" or str(answer.status) < "5" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
