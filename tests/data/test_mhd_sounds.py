"""Spoken digits: reading, one second of them, and back to sound."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from mhd_world import SPEAKERS, tone, write_clip, write_fsdd, write_speech_commands

from nexus_rl.data.audio import log_mel, waveform
from nexus_rl.data.mhd.sounds import read_fsdd, read_speech_commands, spectrograms
from nexus_rl.data.mhd.sources import FSDD, SPEECH_COMMANDS, STROKES, find
from nexus_rl.data.mhd.wav import read_wav, write_wav
from nexus_rl.errors import UserError


def test_wav_files_come_back_as_written(tmp_path: Path):
    samples = torch.sin(torch.arange(1000) / 7)
    write_wav(tmp_path / "a.wav", samples, 16_000)
    read, rate = read_wav(tmp_path / "a.wav")
    assert rate == 16_000
    torch.testing.assert_close(read, samples, atol=1e-4, rtol=0)


SAMPLES = np.array([0, 1, -2, 32767, -32768], "<i2")
STREAM = 2**32 - 1
PCM = struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16)
GUID = bytes.fromhex("000000001000800000aa00389b71")


def extensible(kind: int = 1) -> bytes:
    """A format chunk of WAVE_FORMAT_EXTENSIBLE, of a sub-format."""
    head = struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16_000, 2, 16)
    return head + struct.pack("<HHIH", 22, 16, 4, kind) + GUID


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return name + struct.pack("<I", size) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


FORMAT, DATA = chunk(b"fmt ", PCM), chunk(b"data", SAMPLES.tobytes())
OPEN = chunk(b"data", SAMPLES.tobytes(), STREAM)


@pytest.mark.parametrize(
    "content",
    [
        riff(FORMAT, DATA),
        riff(chunk(b"fmt ", extensible()), DATA),
        riff(FORMAT, chunk(b"LIST", b"INFOodd"), DATA, chunk(b"LIST", b"INFO")),
        riff(chunk(b"JUNK", b"x"), chunk(b"fmt ", PCM + b"\0\0"), DATA),
        riff(FORMAT, OPEN, size=STREAM),
        riff(FORMAT, OPEN),
        riff(FORMAT, chunk(b"data", SAMPLES.tobytes(), 0), size=36),
        riff(FORMAT, chunk(b"data", SAMPLES.tobytes(), 0), size=0),
    ],
    ids=["plain", "extensible", "LIST", "JUNK", "stream", "open", "zero", "zeros"],
)
def test_every_legal_header_is_read(tmp_path: Path, content: bytes):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    samples, rate = read_wav(path)
    assert rate == 8000
    assert torch.equal(samples, torch.from_numpy(SAMPLES.astype(np.float32) / 32768))


@pytest.mark.parametrize(
    "content",
    [
        riff(chunk(b"fmt ", extensible(3)), DATA),
        riff(chunk(b"fmt ", extensible()[:26]), DATA),
        riff(chunk(b"fmt ", PCM[:9])),
        riff(FORMAT, chunk(b"data", b""), chunk(b"LIST", b"INFO")),  # not the sound
        riff(FORMAT, DATA)[:-3],
        riff(FORMAT, chunk(b"data", SAMPLES.tobytes()[:-1])),
        riff(FORMAT, chunk(b"data", SAMPLES.tobytes()[:-1], STREAM))[:-1],
        riff(DATA, FORMAT),
        riff(FORMAT),
        b"RIFX" + riff(FORMAT, DATA)[4:],
        b"RIFF",
    ],
)
def test_other_headers_are_one_error_that_names_the_file(
    tmp_path: Path, content: bytes
):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.wav"):
        read_wav(path)


def test_the_archive_and_the_repository_hold_the_same(tmp_path: Path):
    archive = read_fsdd(write_fsdd(tmp_path / "fsdd.npz"))
    for clip in archive.clips:
        samples = (32768 * clip.read()[0]).short().numpy()
        write_clip(tmp_path / "repo" / "recordings" / clip.name, samples, 8000)
    repository = read_fsdd(tmp_path / "repo")
    assert set(repository.clips) == set(archive.clips)
    assert {clip.speaker for clip in archive.clips} == set(SPEAKERS)
    by_name = {clip.name: clip for clip in archive.clips}
    for clip in repository.clips:
        torch.testing.assert_close(clip.read()[0], by_name[clip.name].read()[0])


def test_speech_commands_are_found_in_torchaudios_layout(tmp_path: Path):
    inner = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    write_speech_commands(inner)
    found = read_speech_commands(tmp_path)
    assert len(found.clips) == 20 and found == read_speech_commands(inner)
    assert {clip.speaker for clip in found.clips} == {"0abc", "1abc"}
    write_speech_commands(tmp_path / "SpeechCommands" / "speech_commands_v0.01")
    with pytest.raises(UserError, match="one folder of Speech Commands"):
        read_speech_commands(tmp_path)


def test_changed_audio_has_another_checksum(tmp_path: Path):
    before = read_speech_commands(write_speech_commands(tmp_path)).sha256
    write_clip(tmp_path / "two" / "0abc_nohash_2.wav", tone(3, 0, 0), 16_000)
    assert read_speech_commands(tmp_path).sha256 != before


def test_a_spectrogram_is_that_of_the_resampled_second(tmp_path: Path):
    clips = read_fsdd(write_fsdd(tmp_path / "fsdd.npz")).clips[:3]
    found = spectrograms(clips)
    assert found.shape == (3, 1, 32, 128) and found.dtype == np.uint8
    assert (found.reshape(3, -1).max(1) == 255).all()
    same = torch.from_numpy(tone(0, 0, 0, 16_000).astype(np.float32) / 32768)
    expected = 255 * log_mel(same)
    heard = expected > 100  # what is far below is of the filter
    far = (torch.from_numpy(found[0, 0]).float() - expected).abs()
    assert far[heard].mean() < 3


def test_what_is_resampled_has_no_mirror_image(tmp_path: Path):
    path = tmp_path / "recordings"
    noise = np.random.default_rng(0).integers(-9000, 9000, 8000).astype(np.int16)
    for digit in range(10):
        write_clip(path / f"{digit}_ann_0.wav", noise, 8000)
    (heard,) = spectrograms(read_fsdd(tmp_path).clips[:1])
    steady = heard[0, 2:-2]
    assert steady[:, 40].min() > 150  # 1.7 kHz
    assert steady[:, 102:].max() == 0  # from 4.2 kHz; those of 8 kHz end at 4


def test_clips_longer_than_a_second_are_cut(tmp_path: Path):
    long = np.tile(tone(5, 0, 0), 10)
    folder = write_speech_commands(tmp_path)
    write_clip(folder / "zero" / "0abc_nohash_0.wav", long, 8000)
    assert spectrograms(read_speech_commands(folder).clips).shape[2:] == (32, 128)


@pytest.mark.parametrize(
    "kind", ["truncated", "text", "stereo", "empty", "0 Hz", "11127 Hz", "192000 Hz"]
)
def test_corrupt_recordings_are_named(tmp_path: Path, kind: str):
    folder = write_speech_commands(tmp_path)
    path = folder / "six" / "1abc_nohash_6.wav"
    whole = path.read_bytes()
    if kind == "stereo":
        write_clip(path, tone(6, 0, 0), 16_000, channels=2)
    elif kind.endswith("Hz"):
        rate = int(kind.split()[0]).to_bytes(4, "little")
        path.write_bytes(whole[:24] + rate + whole[28:])
    else:
        broken = {"truncated": whole[:-600], "text": b"not sound", "empty": b""}
        path.write_bytes(broken[kind])
    with pytest.raises(UserError, match=r"1abc_nohash_6\.wav"):
        spectrograms(read_speech_commands(folder).clips)


@pytest.mark.parametrize("kind", ["dangling", "folder"])
def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path, kind: str):
    folder = write_speech_commands(tmp_path)
    path = folder / "six" / "zz_nohash_0.wav"
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere")
    with pytest.raises(UserError, match=r"zz_nohash_0\.wav cannot be read"):
        read_speech_commands(folder)


def test_a_corrupt_archive_and_a_missing_word_are_refused(tmp_path: Path):
    path = write_fsdd(tmp_path / "fsdd.npz")
    with np.load(path) as archive:
        np.savez_compressed(path, **archive)
    content = bytearray(path.read_bytes())
    content[60:68] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"fsdd\.npz is corrupt"):
        read_fsdd(path)
    write_fsdd(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=r"fsdd\.npz is corrupt"):
        read_fsdd(path)
    np.savez(path, audio=np.zeros(3))
    with pytest.raises(UserError, match=r"fsdd\.npz is corrupt .*labels"):
        read_fsdd(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"fsdd\.npz is corrupt"):
        read_fsdd(path)
    with np.load(write_fsdd(path)) as archive:
        arrays = dict(archive)
    for name, odd, wrong in (
        ("sample_rate", 0, "0 Hz"),
        ("sample_rate", 192_001, "192001 Hz"),
        ("labels", arrays["labels"] + 10, "digit 10"),
        ("offsets", arrays["offsets"] * 2, "offsets"),
        ("audio", arrays["audio"].astype(np.float32), "float32"),
        ("audio", arrays["audio"][:, None], "2 axes"),
    ):
        np.savez(path, **{**arrays, name: odd})
        with pytest.raises(UserError, match=rf"fsdd\.npz is corrupt .*{wrong}"):
            read_fsdd(path)
    folder = write_speech_commands(tmp_path / "words")
    for clip in (folder / "nine").iterdir():
        clip.unlink()
    with pytest.raises(UserError, match="nine holds no recordings"):
        read_speech_commands(folder)
    write_clip(folder / "nine" / "mine.wav", tone(9, 0, 0), 16_000)
    with pytest.raises(UserError, match=r"mine\.wav: expected a name as"):
        read_speech_commands(folder)


def test_sound_made_of_a_spectrogram_has_that_spectrogram():
    sweep = torch.sin(torch.linspace(0, 90, 16_000) ** 2)
    wanted = log_mel(sweep)
    made = waveform(wanted)
    assert made.shape == (16_000,) and made.abs().max() == 1
    far = (log_mel(made) - wanted).abs()
    assert far[wanted > 0.5].mean() < 0.05  # 4 dB
    torch.testing.assert_close(waveform(wanted), made, rtol=0, atol=0)


def test_silence_stays_silence_and_levels_are_decibels():
    assert waveform(torch.zeros(2, 32, 128)).abs().max() == 0
    wanted = log_mel(torch.sin(torch.linspace(0, 90, 16_000) ** 2))
    half = (1 + wanted) / 2  # 80 dB below is now in the middle
    heard = torch.where(wanted > 0, half, 0)
    same = log_mel(waveform(heard, (-160.0, 0.0)))
    assert (same - wanted)[wanted > 0.5].abs().mean() < 0.05


def test_waveform_refuses_bytes():
    with pytest.raises(UserError, match="expected floats"):
        waveform(torch.zeros(32, 128, dtype=torch.uint8))


def test_sources_are_found_in_the_data_folder_and_the_cache(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match=r"(?s)pen strokes.*NEXUS_RL_DATA is not set"):
        find(STROKES)
    cached = home / "ujipenchars2" / "ujipenchars2.txt"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert find(STROKES) == cached
    data = tmp_path / "data"
    write_speech_commands(data / "speech_commands")
    monkeypatch.setenv("NEXUS_RL_DATA", str(data))
    assert find(SPEECH_COMMANDS) == data / "speech_commands"
    with pytest.raises(UserError, match=r"(?s)--fsdd.*Or do without"):
        find(FSDD, advice="Or do without")
    with pytest.raises(UserError, match=r"--fsdd .*fsdd\.npz"):
        find(FSDD, given=data)
