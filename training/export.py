"""A trained model.keras comes in; model.onnx and contract.json, which the service runs by, go out beside it.

    python -m training.export model/tutorial --data photos
    python -m training.export flowers.keras --out model/flowers --classes daisy rose tulip --data photos
    python -m training.export model/mine --keras --data photos
    python -m training.export model/mine --int8 --data photos --set test=more-photos

The second line imports a network that was trained elsewhere, see `training.importing.keras_import`; the third writes
model.keras of a network that `python -m app teach` made; the fourth writes int8.onnx, its twin in 8-bit integers, unless
that loses an answer of a --set, a folder with a folder for each class. The export is compared with Keras, stage by stage, on
real photos below --data, and is not written when it differs.
"""

import json
from fractions import Fraction
from pathlib import Path

from training import outputs
from training.backend import load_keras
from training.config import PREPROCESSED, check_classes, check_unsure
from training.errors import Parser, TrainingError, run, version
from training.measuring.sets import named_sets

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Of networks that were trained elsewhere; other files are looked at too, and refused by name."""


def main() -> None:
    """Read the command line and export."""
    parser = Parser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument(
        "network", type=Path, help="the folder of a network, such as model/tutorial, or your own .keras or .h5 file"
    )
    parser.add_argument("--data", required=True, type=Path, help="folder with photos to compare on")
    parser.add_argument("--photos", type=int, default=64, help="how many photos to compare on (default: 64)")
    parser.add_argument(
        "--keras", action="store_true", help="the other way round: write model.keras of a network that was taught"
    )
    parser.add_argument("--int8", action="store_true", help="write int8.onnx, its twin in integers, of an exported network")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="with --int8: photos that both are compared on (default: those of --data that are held out)",
    )
    own = parser.add_argument_group("for a .keras or .h5 file")
    own.add_argument("--out", type=Path, help="folder to write it to, such as model/flowers")
    own.add_argument("--classes", nargs="+", metavar="NAME", help="its classes, in the order of its outputs")
    own.add_argument("--version", "--network-version", default="1.0.0", type=version, help="its version (default: 1.0.0)")
    own.add_argument("--preprocess", choices=PREPROCESSED, help="the mode of keras.applications' preprocess_input before it")
    colours = "or one for each of red, green and blue"
    own.add_argument(
        "--scale", nargs="+", default=["1"], help=f"the factor on colours from 0 to 255, such as 1/255, {colours}"
    )
    own.add_argument("--offset", nargs="+", default=["0"], help=f"what is added after that, such as -1, {colours}")
    own.add_argument("--unsure", type=float, default=0.0, help="probabilities of the likelier class up to this are `unsure`")
    arguments = parser.parse_args()
    if arguments.photos < 1:
        raise TrainingError("--photos must be at least 1")
    file, out = arguments.network, arguments.network
    brought = _is_file_of_a_network(file)
    if brought and (arguments.keras or arguments.int8):
        option = "--keras" if arguments.keras else "--int8"
        raise TrainingError(f"{option} takes the folder of a network; {file} is a file")
    if arguments.keras and arguments.int8:
        raise TrainingError("--keras and --int8 are two exports; run one after the other")
    if arguments.sets and not arguments.int8:
        raise TrainingError("--set goes with --int8")
    if brought:
        if not file.exists():
            raise TrainingError(f"{file} cannot be read: there is no such file")
        if not arguments.out or not arguments.classes:
            raise TrainingError(f"{file} needs --out and --classes")
        out, classes = arguments.out, tuple(arguments.classes)
        scale, offset = _numbers("--scale", arguments.scale), _numbers("--offset", arguments.offset)
        if arguments.preprocess and (scale, offset) != (1, 0):
            raise TrainingError("--preprocess says how colours are scaled; leave out --scale and --offset")
        check_classes(classes)
        check_unsure(arguments.unsure)
        outputs.check_empty(out, arguments.version)
    elif not (arguments.keras or arguments.int8) and not (file / "model.keras").is_file():
        raise TrainingError(f"{file} holds no model.keras; python -m training.train writes it")
    if not arguments.data.is_dir():
        raise TrainingError(f"{arguments.data} is not a folder; it should hold photos")
    outputs.check_folder(out)
    if arguments.int8:
        from training.tasks import integers

        told = integers.export(out, arguments.data, named_sets(arguments.sets))
        print(json.dumps({name: told[name] for name in ("network", "version", "int8")}, indent=1))
        return

    load_keras()
    # These import Keras, which takes seconds: only now, when nothing is wrong with the arguments.
    from training.importing.brought import bring
    from training.tasks.export import export
    from training.tasks.rebuild import rebuild

    accuracy = None
    if brought:
        accuracy = bring(
            file=file,
            out=out,
            classes=classes,
            data=arguments.data,
            version=arguments.version,
            scale=scale,
            offset=offset,
            unsure=arguments.unsure,
            preprocess=arguments.preprocess,
        )
    contract = (rebuild if arguments.keras else export)(out, arguments.data, arguments.photos)
    told = {name: contract[name] for name in ("network", "version", "parameters", "parity", "files")}
    if accuracy is not None:
        told["accuracy"] = {"photos": accuracy.photos, "right": accuracy.right, "share": round(accuracy.share, 3)}
    print(json.dumps(told, indent=1))


def _is_file_of_a_network(path: Path) -> bool:
    return path.is_file() or path.suffix.lower() in SUFFIXES or (path / "saved_model.pb").is_file()


def _numbers(option: str, texts: list[str]) -> float | list[float]:
    """One number, or one for each of red, green and blue."""
    try:
        numbers = [float(Fraction(text)) for text in texts]
    except (ValueError, ZeroDivisionError) as error:
        shown = " ".join(texts)
        raise TrainingError(f"{option} is {shown}; it must be a number, or a fraction such as 1/255") from error
    if len(numbers) not in (1, 3):
        raise TrainingError(f"{option} has {len(numbers)} numbers; it needs one, or one for each of red, green and blue")
    return numbers if len(numbers) == 3 else numbers[0]


if __name__ == "__main__":
    run(main)
