"""Photos come in; one line for each goes out: the verdict and the probability of a cat.

    pip install httpx
    python examples/predict.py holiday/*.jpg --url http://localhost:8000

A photo that cannot be answered is reported on standard error with the service's reason. The others are still answered, and
the exit status is then 1.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx

BUSY = (429, 503)  # too many requests from this client, or from all; the header Retry-After says when to retry


def predict(client: httpx.Client, photo: Path, tries: int = 6) -> dict[str, Any]:
    """The service's answer for one photo. Raises ValueError with the service's explanation if there is none."""
    for retries in reversed(range(tries)):
        answer = client.post("/predict", params={"feature_maps": "none"}, files={"file": photo.read_bytes()})
        if answer.status_code not in BUSY or not retries:
            break
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    if answer.headers.get("Content-Type") == "application/problem+json":  # every error of the service, see RFC 9457
        problem = answer.json()
        raise ValueError(f"{problem['title']} ({problem['status']}): {problem['detail']}")
    answer.raise_for_status()  # an error from a proxy in front of the service
    return answer.json()


def main() -> int:
    """Send the photos one after another over one connection."""
    parser = argparse.ArgumentParser(description="Is there a cat in these photos?")
    parser.add_argument("photos", nargs="*", type=Path, default=[Path(__file__).with_name("chelsea.png")])
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--key", help="an API key, if the service requires one")
    arguments = parser.parse_args()
    failed = False
    with httpx.Client(
        base_url=arguments.url, headers={"X-API-Key": arguments.key} if arguments.key else {}, timeout=30
    ) as client:
        for photo in arguments.photos:
            try:
                answer = predict(client, photo)
                print(f"{photo}: {answer['verdict']}, {answer['probabilities']['cat']:.4f}")
            except (OSError, ValueError, httpx.HTTPError) as error:
                print(f"{photo}: {error}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
