"""The command line: what it writes, that it equals the API, and one line with code 2 for bad input."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from click.testing import CliRunner, Result
from PIL import Image

from napari_papernets.api import predict, save_model
from napari_papernets.cli import main
from napari_papernets.cli_tools import drain_with_bar
from napari_papernets.core.events import Notice, Started
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.files import write_image
from napari_papernets.model_files import find_model
from napari_papernets.networks import UNet
from napari_papernets.objects import to_objects


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with an image and a model."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_model(UNet(1, 3, width=4, depth=2, padding="same", norm="batch"), "net")
    pixels = np.random.default_rng(0).integers(0, 255, (90, 70)).astype("u1")
    tifffile.imwrite("cells.tif", pixels)
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(main, shlex.split(line))


def test_predict_writes_what_the_api_returns(folder):
    result = run(
        "predict cells.tif -m net.safetensors -o out --probabilities --tile 60 --precision float32"
    )
    assert result.exit_code == 0, result.output
    expected = predict(
        tifffile.imread("cells.tif"),
        "net.safetensors",
        tile=60,
        settings=PredictSettings(precision="float32"),
    )
    np.testing.assert_array_equal(tifffile.imread("out/cells_labels.tif"), expected.labels)
    np.testing.assert_array_equal(tifffile.imread("out/cells_probabilities.tif"), expected.probabilities)
    account = json.loads((folder / "out/cells_provenance.json").read_text())
    assert account["weights_sha256"] == expected.provenance["weights_sha256"]
    assert "--probabilities" in account["command"]
    assert "--table" not in account["command"]
    assert account["files"] == ["cells_labels.tif", "cells_probabilities.tif"]


def test_the_copied_command_repeats_the_result(folder):
    """Provenance's own command line, typed again, gives equal labels."""
    run("predict cells.tif -m net.safetensors -o first --tile 60 --region 5,61,7,66 --output instances")
    account = json.loads((folder / "first/cells_provenance.json").read_text())
    again = CliRunner().invoke(main, [*shlex.split(account["command"])[1:], "-o", "second"])
    assert again.exit_code == 0, again.output
    first, second = (tifffile.imread(f"{f}/cells_labels.tif") for f in ("first", "second"))
    assert first.shape == (56, 59)
    np.testing.assert_array_equal(first, second)


def test_objects_of_a_class_are_repeated_by_the_copied_command(folder):
    line = "predict cells.tif -m net.safetensors -o first --min-size 3 --split --table"
    name = find_model("net.safetensors").spec.classes[1].name
    assert run(f"{line} --objects {shlex.quote(name)}").exit_code == 0
    account = json.loads((folder / "first/cells_provenance.json").read_text())
    again = CliRunner().invoke(main, [*shlex.split(account["command"])[1:], "-o", "second"])
    assert again.exit_code == 0, again.output
    first, second = (tifffile.imread(f"{f}/cells_labels.tif") for f in ("first", "second"))
    np.testing.assert_array_equal(first, second)
    classes = predict(
        tifffile.imread("cells.tif"), "net.safetensors", settings=PredictSettings(output="semantic")
    )
    np.testing.assert_array_equal(first, to_objects(classes.labels, 2, 3, split=True))
    assert len(list(csv.DictReader((folder / "second/cells_objects.csv").open()))) == first.max()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--objects nobody", "the classes of the model are"),
        ("--split", "give --objects CLASS too"),
        ("--objects 1 --output instances", "leave --output out"),
    ],
)
def test_objects_that_cannot_be_made_are_refused(folder, options, words):
    result = run(f"predict cells.tif -m net.safetensors -o new {options}")
    assert result.exit_code == 2
    assert words in result.output
    assert not (folder / "new").exists()


def test_chosen_planes_are_repeated_by_the_copied_command(folder):
    stack = np.random.default_rng(0).integers(0, 255, (2, 5, 40, 50)).astype("u1")
    tifffile.imwrite("stack.ome.tif", stack, metadata={"axes": "TZYX"})
    line = "predict stack.ome.tif -m net.safetensors --table --output instances --region 3,40,0,44"
    result = run(f"{line} --plane 1,4 --plane 0,2 -o first")
    assert result.exit_code == 0, result.output
    account = json.loads((folder / "first/stack_provenance.json").read_text())
    again = CliRunner().invoke(main, [*shlex.split(account["command"])[1:], "-o", "second"])
    assert again.exit_code == 0, again.output
    first, second = (tifffile.imread(f"{f}/stack_labels.tif") for f in ("first", "second"))
    assert first.shape == (2, 37, 44)
    np.testing.assert_array_equal(first, second)
    rows = list(csv.DictReader((folder / "first/stack_objects.csv").open()))
    assert len(rows) == first.max()
    assert {(row["t"], row["z"]) for row in rows} == {("1", "4"), ("0", "2")}


def test_the_table_of_a_region_counts_in_the_whole_image(folder):
    assert run("predict cells.tif -m net.safetensors --table --region 40,90,30,70").exit_code == 0
    labels = tifffile.imread("cells_labels.tif")
    for row in csv.DictReader((folder / "cells_objects.csv").open()):
        ys, xs = np.nonzero(labels == int(row["label"]))
        assert (int(row["y0"]), int(row["x0"])) == (ys.min() + 40, xs.min() + 30)
        assert float(row["y"]) == pytest.approx(ys.mean() + 40)


def test_grey_with_opacity_is_segmented_as_grey(folder):
    pixels = tifffile.imread("cells.tif")
    for name in ("a.png", "b.tif"):
        Image.fromarray(np.stack([pixels, pixels[::-1]], -1), "LA").save(name)
    result = run("predict cells.tif a.png b.tif -m net.safetensors -o out")
    assert result.exit_code == 0, result.output
    expected = tifffile.imread("out/cells_labels.tif")
    for name in "ab":
        np.testing.assert_array_equal(tifffile.imread(f"out/{name}_labels.tif"), expected)


def test_a_folder_is_all_its_images(folder):
    (folder / "many").mkdir()
    for name in "ab":
        tifffile.imwrite(f"many/{name}.tif", np.zeros((40, 40), "u1") + np.arange(40, dtype="u1"))
    assert run("predict many -m net.safetensors -o out").exit_code == 0
    assert sorted(p.name for p in (folder / "out").glob("*_labels.tif")) == [
        "a_labels.tif",
        "b_labels.tif",
    ]


@pytest.mark.parametrize(
    ("options", "axes", "shape", "field"),
    [
        ("--region 0,30,0,40", "ZYX", (3, 20, 40), "region"),
        ("--plane 2", "TZYX", (2, 2, 20, 40), "planes"),
        ("--axes ZYX", "TCYX", (2, 2, 20, 40), "axes"),
        ("", "TCYX", (2, 2, 20, 40), "image"),
    ],
)
def test_one_bad_image_of_several_is_named_before_any_is_segmented(folder, options, axes, shape, field):
    (folder / "many").mkdir()
    write_image("many/a.tif", np.zeros((3, 30, 40), "u1"), "ZYX")
    write_image("many/b.tif", np.zeros(shape, "u1"), axes)
    result = run(f"predict many -m net.safetensors -o out {options}")
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(f"papernets: {field} of b.tif: got ")
    assert "0 of 2 images were written" in line
    assert not (folder / "out").exists()


def test_what_only_the_pixels_tell_names_the_file_and_how_many_were_written(folder):
    (folder / "many").mkdir()
    ramp = np.zeros((30, 40), "f4") + np.arange(40, dtype="f4")
    for name, pixels in (("a", ramp), ("b", ramp * np.nan), ("c", ramp)):
        tifffile.imwrite(f"many/{name}.tif", pixels)
    result = run("predict many -m net.safetensors -o out")
    assert result.exit_code == 2, result.output
    assert "b.tif" in result.stderr
    assert "1 of 3 images were written" in result.stderr
    assert (folder / "out/a_labels.tif").exists()


def test_a_folder_of_images_and_results_gives_the_same_again(folder):
    (folder / "same").mkdir()
    ramp = np.zeros((40, 40), "u1") + np.arange(40, dtype="u1")
    tifffile.imwrite("same/a.tif", ramp)
    tifffile.imwrite("same/mine_labels.tif", ramp)  # not of this program
    line = "predict same -m net.safetensors --out same --probabilities --output semantic"
    assert run(line).exit_code == 0
    written = sorted(p.name for p in (folder / "same").iterdir())
    result = run(line)
    assert result.exit_code == 0, result.output
    assert "same: left out 4 results of this program" in result.stderr
    assert sorted(p.name for p in (folder / "same").iterdir()) == written
    (folder / "same/a.tif").unlink()
    (folder / "same/mine_labels.tif").unlink()
    result = run(line)
    assert result.exit_code == 2
    assert "only results of this program" in result.stderr


@pytest.mark.parametrize(
    "line", ["predict ''", "predict cells.tif -o ''", "features '' -m net", "pretrain ''"]
)
def test_an_empty_name_is_not_the_current_folder(folder, line):
    result = run(line)
    assert result.exit_code == 2
    assert "got an empty name" in result.stderr
    assert not list(folder.glob("*_labels.tif"))


def test_names_and_notices_are_shown_as_they_are(capsys):
    def job():
        yield Started(1, "tile", "[red]note")
        yield Notice("read im[ch0].tif :smile:")
        return 3

    assert drain_with_bar(job(), "im[ch0].tif") == 3
    shown = capsys.readouterr().err
    assert "read im[ch0].tif :smile:" in shown
    assert shown.count("im[ch0].tif") > 1
    assert "[red]note" in shown


def test_zarr_is_read_whatever_its_folder_is_called(folder):
    ramp = np.zeros((40, 40), "u1") + np.arange(40, dtype="u1")
    for name in ("v3.ZARR", "plain", "many/inside"):
        zarr.create_array(folder / name, data=ramp)
    group = zarr.create_group(folder / "two.zarr")
    for name in "ab":
        group.create_array(name, data=ramp)
    write_image("o4.ome.zarr", ramp, "YX")
    assert "give one of its arrays: a, b" in run("predict two.zarr -m net.safetensors").stderr
    result = run("predict two.zarr/a o4.ome.zarr/0 v3.ZARR plain many -m net.safetensors -o out")
    assert result.exit_code == 0, result.output
    names = ["0", "a", "inside", "plain", "v3"]
    assert sorted(p.name for p in (folder / "out").glob("*.tif")) == [f"{n}_labels.tif" for n in names]


def test_images_of_nearly_the_same_name_keep_their_own_results(folder):
    ramp = np.zeros((40, 40), "u1") + np.arange(40, dtype="u1")
    (folder / "many").mkdir()
    for at, name in enumerate(["A1.t001.tif", "A1.t002.tif", "x.tif"]):
        tifffile.imwrite(f"many/{name}", np.roll(ramp, at, 1))
    np.save("many/x.npy", ramp.T)
    result = run("predict many -m net.safetensors -o out")
    assert result.exit_code == 0, result.output
    names = ["A1.t001", "A1.t002", "x.npy", "x.tif"]
    assert sorted(p.name for p in (folder / "out").glob("*_labels.tif")) == [
        f"{name}_labels.tif" for name in names
    ]
    for name in names:
        account = json.loads((folder / f"out/{name}_provenance.json").read_text())
        assert f"many/{name}" in account["command"]


def test_finetune_then_predict(folder):
    """Strokes in, a model out, which then predicts the two classes."""
    pixels = np.zeros((96, 96), "u1")
    pixels[20:60, 30:70] = 200
    strokes = np.zeros((96, 96), "u1")
    strokes[2:5, 5:60], strokes[30:33, 35:65], strokes[80:83, 9:70], strokes[50:53, 35:65] = 1, 2, 1, 2
    tifffile.imwrite("square.tif", pixels)
    tifffile.imwrite("strokes.tif", strokes)
    result = run(
        "finetune square.tif strokes.tif --classes 'paper, ink' --name mine -o trained --steps 30 "
        "--crop 64 --batch 2 --precision float32"
    )
    assert result.exit_code == 0, result.output
    path = result.output.strip().splitlines()[-1]
    classes = json.loads(run(f"models {path}").output)["classes"]
    assert [c["name"] for c in classes] == ["paper", "ink"]
    assert run(f"predict square.tif -m {path} -o out").exit_code == 0
    labels = tifffile.imread("out/square_labels.tif")
    assert set(np.unique(labels)) == {1, 2}
    assert (labels == np.where(pixels > 0, 2, 1)).mean() > 0.9


def test_what_has_no_counterpart_is_told(folder):
    for name in ("images", "labels"):
        (folder / name).mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (48, 48)).astype("u1")
    for name in ("a", "b", "c"):
        tifffile.imwrite(f"images/{name}.tif", pixels)
    for name in ("b", "other"):
        tifffile.imwrite(f"labels/{name}.tif", np.eye(48, dtype="u1"))
    few = "--kind instances --steps 1 --crop 32 --batch 1 --width 2 --depth 1 --held-out 0"
    result = run(f"finetune images labels {few} -o trained --name t")
    assert result.exit_code == 0, result.output
    assert (
        "2 of 3 images have no counterpart of their name and are left out: a.tif, c.tif" in result.output
    )
    assert "1 of 2 annotations have" in result.output
    facts = json.loads(run("models trained/t.safetensors").output)
    command = shlex.split(facts["provenance"]["command"])
    assert command[2:4] == ["images", "labels"]
    assert "trained" in command


def test_help_is_shown_where_its_letters_are_not_known(folder):
    """As on Windows, where what is redirected is in an old code page."""
    old = os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    line = [sys.executable, "-m", "napari_papernets.cli", "refine", "--help"]
    done = subprocess.run(line, env=old, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"--sigma-beta" in done.stdout


def test_heads_without_a_file_are_refused(folder):
    result = run("weights --heads 3")
    assert result.exit_code == 2
    assert "--file" in result.output


def test_models_are_listed_and_told_of(folder):
    assert run("models").exit_code == 0
    told = json.loads(run("models net.safetensors").output)
    assert (told["architecture"], told["in_channels"], len(told["classes"])) == ("unet", 1, 3)


def make_garbage(folder) -> None:
    good = (folder / "net.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(good[: len(good) // 2])
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (folder / "cut.tif").write_bytes((folder / "cells.tif").read_bytes()[:90])
    np.save("nan.npy", np.full((9, 9), np.nan))
    np.save("line.npy", np.zeros(9))
    np.save("six.npy", np.zeros((1,) * 6))
    np.save("empty.npy", np.zeros((0, 9)))
    np.save("five.npy", np.zeros((5, 30, 30)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("cells.tif -m cut.safetensors", "cut"),
        ("cells.tif -m pickle.safetensors", "not a safetensors file"),
        ("cells.tif -m nowhere", "model: got 'nowhere'"),
        ("cut.tif -m net.safetensors", "damaged or cut off"),
        ("missing.tif -m net.safetensors", "no such file"),
        ("nan.npy -m net.safetensors", "finite"),
        ("line.npy -m net.safetensors", "2 to 5 axes"),
        ("six.npy -m net.safetensors", "2 to 5 axes"),
        ("empty.npy -m net.safetensors", "pixels in it"),
        ("five.npy --axes CYX -m net.safetensors", "takes 1"),
        ("cells.tif --axes ZYX -m net.safetensors", "axes"),
        ("cells.tif -m net.safetensors --tile 0", "tile"),
        ("cells.tif -m net.safetensors --threshold 2", "threshold"),
        ("cells.tif -m net.safetensors --region 0,999,0,5", "region"),
        ("cells.tif -m net.safetensors --region 0,9", "region"),
        ("cells.tif missing.tif -m net.safetensors", "missing.tif; there is no such file"),
        ("cells.tif cut.tif -m net.safetensors", "cut.tif; it is damaged"),
        ("cells.tif net.safetensors -m net.safetensors", "give .tif"),
        ("cells.tif -m net.safetensors --channels 4", "channels"),
        ("cells.tif -m net.safetensors --region a", "not a list of whole numbers"),
        ("cells.tif -m net.safetensors --zooom 2", "--zooom"),
        ("-m net.safetensors", "IMAGES"),
        ("cells.tif -m nuclei --region 0,999,0,5", "region"),
    ],
)
def test_bad_input_ends_with_2_and_one_line_and_writes_nothing(folder, arguments, words):
    make_garbage(folder)
    result = run(f"predict {arguments} -o out")
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("papernets: ")
    assert words in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("finetune cells.tif nowhere.tif", "annotations: got nowhere.tif; there is no such file"),
        ("finetune cells.tif cut.tif", "labels: got cut.tif; it is damaged"),
        ("finetune cells.tif many", "annotations: got many; give a file"),
        ("finetune many cells.tif", "annotations: got cells.tif; give a folder"),
        ("refine nowhere.tif cells.tif", "probabilities: got nowhere.tif; there is no such file"),
        ("refine cells.tif cells.tif", "probabilities: got cells.tif of shape (90, 70); give one map"),
    ],
)
def test_the_file_that_is_wrong_is_named_by_what_it_is(folder, line, words):
    make_garbage(folder)
    (folder / "many").mkdir()
    (folder / "many" / "cells.tif").write_bytes((folder / "cells.tif").read_bytes())
    result = run(f"{line} -o out")
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize("verb", ["predict", "refine", "features", "pretrain"])
@pytest.mark.parametrize("page", [".", "nowhere/page.md", "cells.tif/page.md"])
def test_a_page_that_cannot_be_written_is_refused_before_the_benchmark(folder, verb, page):
    result = run(f"bench {verb} --rounds 1 --write {page}")
    assert result.exit_code == 2
    assert f"'--write': got {Path(page)}" in result.stderr


@pytest.mark.parametrize("line", ["nothing", "--nothing", "bench predict --size 0"])
def test_what_is_no_command_ends_with_one_line(line):
    result = run(line)
    assert result.exit_code == 2
    (said,) = result.stderr.splitlines()
    assert said.startswith("papernets: ")


def test_commands_alone_show_their_help():
    for line in ("", "bench"):
        assert "Commands:" in run(line).output


def test_an_image_in_zarrs_format_is_no_folder_of_images(folder):
    pixels = tifffile.imread("cells.tif")
    write_image("cells.zarr", pixels, "YX")
    strokes = np.zeros_like(pixels)
    strokes[5:9, 5:30], strokes[50:54, 5:30] = 1, 2
    tifffile.imwrite("strokes.tif", strokes)
    small = "--steps 1 --width 2 --depth 1 --crop 32 -m scratch"
    result = run(f"finetune cells.zarr strokes.tif -o out {small}")
    assert result.exit_code == 0, result.output
    assert (folder / "out/tuned.safetensors").exists()


def test_names_and_licences_in_lists_are_kept_apart(folder):
    assert "see the record on Zenodo MoCo" in " ".join(run("weights").output.split())


def test_a_benchmark_of_nothing_is_refused(folder):
    assert run("bench predict --size 0").exit_code == 2
    assert run("bench pretrain --rounds 0").exit_code == 2


LINES = {
    "predict": "predict cells.tif -m net.safetensors -o {}",
    "features": "features cells.tif -m nowhere -o {}",
    "refine": "refine nowhere.tif cells.tif -o {}",
    "finetune": "finetune cells.tif cells.tif -o {}",
}


@pytest.mark.parametrize("verb", LINES)
@pytest.mark.parametrize("out", ["cells.tif", "cells.tif/below"])
def test_a_file_in_place_of_the_folder_is_refused_before_the_work(folder, verb, out):
    before = (folder / "cells.tif").read_bytes()
    result = run(LINES[verb].format(out))
    assert result.exit_code == 2, result.output
    assert ("folder: got" if verb == "finetune" else "out: got") in result.stderr
    assert "cells.tif is a file: name another folder" in result.stderr
    assert (folder / "cells.tif").read_bytes() == before


def test_a_read_only_folder_is_refused_before_the_work(folder, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_papernets.atomic.tempfile.TemporaryFile", refuse)
    result = run(LINES["predict"].format("out"))
    assert result.exit_code == 2, result.output
    assert "nothing may be written" in result.stderr
    assert not (folder / "out").exists()


def test_a_full_disk_is_told_in_one_line(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_papernets.atomic.os.replace", full)
    result = run(LINES["predict"].format("out"))
    assert result.exit_code == 1
    said = result.stderr.strip().splitlines()[-1]
    where = str(Path("out/cells_provenance.json"))
    assert said == f"papernets: [Errno 28] No space left on device: {where!r}"
    assert not list((folder / "out").iterdir())


OWN = {
    "predict x.tif -m net.safetensors": "x_labels.tif",
    "predict . -m net.safetensors": "x_labels.tif",
    "predict x.tif -m net.safetensors --table": "x_objects.csv",
    "refine share.tif x.tif": "x_refined_labels.tif",
    "refine x_refined_probabilities.tif x.tif": "x_refined_probabilities.tif",
    "features x.tif -m nowhere": "x_tokens.npz",
    "features x.tif -m nowhere --clusters 2": "x_clusters.tif",
}


@pytest.mark.parametrize("line", OWN)
def test_what_this_program_did_not_write_is_never_replaced(folder, line):
    (folder / "cells.tif").rename("x.tif")
    own = folder / OWN[line]
    tifffile.imwrite(own, np.ones((90, 70), "u1"))
    before = own.read_bytes()
    result = run(line)
    assert result.exit_code == 2, result.output
    (said,) = result.stderr.splitlines()
    assert own.name in said
    assert "choose another folder for the results" in said
    assert own.read_bytes() == before
    assert not list(folder.glob("*_provenance.json"))


def test_a_result_may_be_replaced_but_not_what_lies_beside_it(folder):
    line = "predict cells.tif -m net.safetensors"
    assert run(line).exit_code == 0
    assert run(line).exit_code == 0
    (folder / "cells_objects.csv").write_text("mine")
    result = run(f"{line} --table")
    assert result.exit_code == 2
    assert "cells_objects.csv, which this program did not write" in result.stderr
    assert (folder / "cells_objects.csv").read_text() == "mine"


def test_an_input_is_not_replaced_though_this_program_wrote_it(folder):
    assert run("predict cells.tif -m net.safetensors").exit_code == 0
    result = run("predict cells.tif cells_labels.tif -m net.safetensors")
    assert result.exit_code == 2
    assert "cells_labels.tif, which is read in this run" in result.stderr


def test_too_long_a_name_is_refused_before_the_work(folder):
    (folder / "cells.tif").rename("x" * 235 + ".tif")
    result = run(f"predict {'x' * 235}.tif -m net.safetensors -o out")
    assert result.exit_code == 2
    assert "give it a shorter name" in result.stderr
    result = run(f"predict {'x' * 235}.tif -m net.safetensors -o {'o' * 300}")
    assert result.exit_code == 2
    assert "give the folder a shorter one" in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "x.tif")
    result = run("predict x.tif -m net.safetensors")
    assert result.exit_code == 2
    assert "x.tif, which is no file" in result.stderr


@pytest.mark.parametrize(
    "line", ["predict {}.tif", "predict cells.tif -m {}", "pretrain cells.tif --name {}"]
)
def test_too_long_a_name_ends_with_one_line(folder, line):
    result = run(line.format("x" * 300))
    assert result.exit_code == 2
    (said,) = result.stderr.splitlines()
    assert "Errno" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise")
def test_nothing_is_said_where_nobody_reads_on(folder):
    code = "import sys; from napari_papernets.cli import main; sys.stdin.readline(); main(['models'])"
    line, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe) as program:
        program.stdout.close()
        program.stdin.close()
        assert program.stderr.read() == b""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such folder")
def test_a_folder_that_takes_no_files_is_found_before_the_work(folder):
    result = run("predict cells.tif -m net.safetensors -o /proc/x")
    assert result.exit_code == 2
    assert "nothing may be written to /proc" in result.stderr


def test_what_is_automatic_may_be_typed(folder):
    line = "predict cells.tif -m net.safetensors --region 0,40,0,40"
    result = run(f"{line} --zoom auto --tile auto --channels auto -o typed")
    assert result.exit_code == 0, result.output
    assert run(f"{line} -o out").exit_code == 0
    typed, left_out = (
        json.loads((folder / name / "cells_provenance.json").read_text())["settings"]
        for name in ("typed", "out")
    )
    assert typed == left_out
    assert run(f"{line} --min-size auto").exit_code == 2


def test_help_tells_what_the_form_tells():
    said = " ".join(run("predict --help").output.split())
    assert "--zoom FLOAT Zoom – Factor by which the image is resized" in said
    assert "[default: auto; 0.1<=x<=8]" in said
    assert "Memory (GB) – Memory that the network's maps may take" in said
    said = " ".join(run("pretrain --help").output.split())
    assert "Temperature τ – Of the softmax" in said
    assert "[default: 0; 0<=x<=2147483647]" in said


@pytest.mark.parametrize("verb", ["predict", "finetune", "models", "demo", "bench predict"])
def test_every_verb_has_help(verb):
    result = run(f"{verb} --help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_pretrain_writes_an_encoder(folder):
    small = "--steps 1 --encoder contracting --width 2 --depth 1 --K 8 --crop 16 --batch 4 --places 2"
    result = run(f"pretrain cells.tif -o out --name mine {small}")
    assert result.exit_code == 0, result.output
    assert (folder / "out" / "mine.safetensors").exists()
    bad = run(f"pretrain cells.tif {small} --batch 3")
    assert bad.exit_code == 2
    assert "multiple of 2" in bad.output
