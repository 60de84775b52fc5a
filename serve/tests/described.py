"""Requests that schemathesis makes up from the server's description, /v2/openapi.json, right and wrong ones, with and without the token.

  described.py --mindir PATH [--seconds 40]     needs the packages of clients.txt
"""
import argparse
import os
import subprocess
import sys
import tempfile

from serving import repository, server

TOKEN = "token-of-the-test"
# What a description cannot say: which elements fit which shape and which model, and what else a body may be.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method,ignored_auth"
CONFIGURATION = """
[parameters]
"path.model" = "digits"
"path.version" = "1"
"path.target" = "digits:predict"
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--seconds", type=int, default=40)
    args = ap.parse_args()
    schemathesis = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "models")
        repository(root)
        token, configuration = os.path.join(folder, "token"), os.path.join(folder, "schemathesis.toml")
        with open(token, "w") as f:
            f.write(TOKEN)
        with open(configuration, "w") as f:
            f.write(CONFIGURATION)
        with server(os.path.abspath(args.mindir), root, "--token-file", token) as (address, process):
            command = [schemathesis, "--config-file", configuration, "run", f"http://{address}/v2/openapi.json", "-H", f"Authorization: Bearer {TOKEN}",
                       "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-time", str(args.seconds), "--max-failures", "20",
                       "--continue-on-failure", "--suppress-health-check", "all", "--seed", "1", "--no-color"]
            code = subprocess.run(command, cwd=folder).returncode
            assert process.poll() is None, "the server has ended"
    sys.exit(code)


if __name__ == "__main__":
    main()
