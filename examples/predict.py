"""Photos come in, a line for each goes out: the verdict, and the probability that there is a cat in it.

    pip install httpx
    python examples/predict.py holiday/*.jpg --url http://localhost:8000

A photo that cannot be answered is named on the error stream, with what the service says of it; the others are answered
nevertheless, and the script ends with 1.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx

BUSY = (429, 503)  # too many requests from us, or from everybody; the header Retry-After says when to come again


def predict(client: httpx.Client, photo: Path, tries: int = 6) -> dict[str, Any]:
    """The service's answer to one photo. Raises ValueError, with its explanation, when it has none."""
    for left in reversed(range(tries)):
        answer = client.post("/predict", params={"feature_maps": "none"}, files={"file": photo.read_bytes()})
        if answer.status_code not in BUSY or not left:
            break
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    if answer.headers.get("Content-Type") == "application/problem+json":  # every error is one, as RFC 9457 describes it
        problem = answer.json()
        raise ValueError(f"{problem['title']} ({problem['status']}): {problem['detail']}")
    answer.raise_for_status()  # an error of some proxy before the service
    return answer.json()


def main() -> int:
    """Ask about every photo in turn, over one connection."""
    parser = argparse.ArgumentParser(description="Is there a cat in these photos?")
    parser.add_argument("photos", nargs="*", type=Path, default=[Path(__file__).with_name("chelsea.png")])
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--key", help="an API key, where the service asks for one")
    asked = parser.parse_args()
    failed = False
    with httpx.Client(base_url=asked.url, headers={"X-API-Key": asked.key} if asked.key else {}, timeout=30) as client:
        for photo in asked.photos:
            try:
                answer = predict(client, photo)
                print(f"{photo}: {answer['verdict']}, {answer['probabilities']['cat']:.4f}")
            except (OSError, ValueError, httpx.HTTPError) as error:
                print(f"{photo}: {error}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
