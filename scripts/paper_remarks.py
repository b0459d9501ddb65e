"""What a reader must know of the rows and the data of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paper_groups import MIXTURES, NEWER, Group, model_of

from nexus_rl.cmi.report import Row

MIXTURE = """Of several given modalities MMVAE, mmJSD and AVAE see one, drawn at \
random: their accuracy is the mean of what they infer from each alone, whatever the \
others would add, and what they make together is more diverse than apart. The paper \
leaves MMVAE blank there. Their posterior mean of several is the middle of several \
means, which may belong to none."""

LOST = """The paper's row of MMVAE on FashionMNIST is lost in the copy at hand; its \
text says that MMVAE is above Nexus in cross-modality accuracy there, with the highest \
MFD."""

PLUS = """Nexus+ has rho 0.2 and alignment, where Nexus has rho 0.1. Rows with a + \
have the image bottom of the preset `nexus_plus` (KL weight 0.1), which all of them \
share, and send the bottoms' means upward, in training and \
here, where others send samples: for the second alone compare accuracies with \
posterior means, below."""

OURS = """MoPoE, MVTCAE, mmJSD, JMVAE and AVAE are their objectives and fusions on \
the two-level core, not the networks of their papers. The weights are ours, and were \
not tuned: 0.9 for MVTCAE's total correlation, 0.1 for JMVAE's divergence, 1 for \
AVAE's."""

UNCLEAR = "†: printed without decimal points in the copy of the paper at hand."

UNSEEN = "no writer and no speaker of the test part is in training"


def heading(dataset: str) -> str:
    """Of the part of a page about one dataset."""
    return f"## {dataset}" + (f": {UNSEEN}" if "disjoint" in dataset else "")


def remarks(
    dataset: str, groups: Sequence[Group], paper: Mapping[str, Any]
) -> list[str]:
    """What is to be known of some of the rows, and of the paper's beside them."""
    rows = [group.row for group in groups]
    names = {model_of(row) for row in rows}
    said = [MIXTURE] if names & MIXTURES else []
    said += [PLUS] if any("plus" in row for row in rows) else []
    said += [OURS] if names & {*NEWER} else []
    said += [LOST] if dataset == "fashion_mnist" and "mmvae_1" in rows else []
    beside = [paper[row] for row in rows if paper.get(row)]
    said += [UNCLEAR] if any("unclear" in each for each in beside) else []
    return [line for text in said for line in ("", text)]


def origin(groups: Sequence[Group]) -> list[str]:
    """What the data were made of, where they do not come as they are."""
    report, run = groups[0].reports[0], groups[0].runs[0]
    data: dict[str, Any] = run.get("data", {})
    if not data:
        return []
    heard = any(row.target == "sound" for row in report.rows)
    said = [f"{report.settings['items']:,} test items."]
    if data["kind"] == "official":
        said.append("The data are the authors' own files, converted.")
    else:
        said.append("The data were built here, not by the authors.")
    said += _strokes(data, "Images and trajectories" if heard else "Images")
    if heard:
        said += _sounds(data, report.judges)
    if options := data.get("options"):
        said.append(f"Split: {options['split']}.")
    if sides := data.get("sides"):
        said += _sides(sides, heard)
        said += _few(sides, report.rows) if heard else []
    return ["", " ".join(said)]


def _strokes(data: Mapping[str, Any], what: str) -> list[str]:
    said = []
    if strokes := data.get("strokes"):
        said.append(
            f"{what} are variations of {strokes['exemplars']:,} "
            f"handwritten digits of {strokes['writers']} writers."
        )
    if fit := data.get("fit"):
        said.append(
            "The model that varies them misses their points by "
            f"{fit['mean_error']:.4f} on average, in the worst digit by "
            f"{fit['max_error']:.4f}, where 1 is a digit's greatest coordinate."
        )
    return said


def _sounds(data: Mapping[str, Any], judges: Mapping[str, Any]) -> list[str]:
    sources = [
        f"{each['recordings']:,} recordings of {each['speakers']} speakers ({name})"
        for name, each in data.get("sounds", {}).items()
    ]
    said = [f"Sounds: {' and '.join(sources)}."] if sources else []
    if "fsdd" in data.get("sounds", {}):
        said.append("Those of FSDD have 8 kHz, so nothing above 4 kHz.")
    for name, count in judges.get("distinct", {}).items():
        said.append(
            f"The training part holds {count:,} distinct rows of {name}, each paired "
            "many times; judges learn each once."
        )
    return said


def _sides(sides: Mapping[str, Any], heard: bool) -> list[str]:
    """Of whom the test rows are, and whether training knows them."""
    test, known, fewest, largest = (
        sides.get(name, {}) for name in ("test", "known", "fewest", "largest")
    )
    people = [
        ("exemplars", "handwritten digits", "writers", "writer", "other variations of"),
        ("recordings", "recordings", "speakers", "speaker", "the recordings of"),
    ][: 1 + heard]
    said = []
    for items, what, groups, person, seen in people:
        said.append(
            f"The test rows are of {test[items]:,} {what} of {test[groups]} {groups}: "
            f"training has {seen} {100 * known[items]:.0f} % of them, and the "
            f"{person} of {100 * known[groups]:.0f} %."
        )
        if fewest:
            said.append(
                f"Of every digit there are at least {fewest[items]} {what} of "
                f"{fewest[groups]} {groups}, and one {person} has "
                f"{100 * largest[groups]:.0f} % of the test rows."
            )
    said.append(
        "All seeds share these people, so their spread does not tell how much "
        "others would differ."
    )
    return said


def _few(sides: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Whether a digit's recordings are too few for its covariance."""
    features = next(row.d_class for row in rows if row.target == "sound")
    few = sides["test"]["recordings"] // 10
    if features is None or few >= features:
        return []
    return [
        f"With some {few} recordings a digit the class MFD of sounds compares with a "
        f"covariance of lower rank than its {features} features: look at the pooled "
        "one, too."
    ]
