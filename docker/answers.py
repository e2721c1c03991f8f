"""Exit 0 if a local address answers with 200: the health check of services whose image has no curl."""

import sys
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=8) as answer:  # noqa: S310 (the address is in docker-compose.yml)
        sys.exit(answer.status != 200)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
