"""SynthAX as the renderer of our parameters, where its optional environment is built: for comparisons with what was published."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch

from core import environments, keys
from core.errors import InvalidValueError, SynthloomError
from core.launcher import clean_environment
from tasks.synthesiser import Synthesiser
from tasks.synthesize.spec import Settings

ENVIRONMENT = "synthax"
CHILD = "tasks.synthesize.synthax_child"
Array = npt.NDArray[np.float32]


class SynthAX:
    """A child process that renders; a context manager. It ends when this process does, since its input ends then.

    Args:
        settings: which synthesiser, and its rates.
        synthesiser: ours, of the same parameters.

    Raises:
        InvalidValueError: SynthAX's environment is not built.
    """

    def __init__(self, settings: Settings, synthesiser: Synthesiser) -> None:
        if not environments.is_ready(ENVIRONMENT):
            raise InvalidValueError(
                "its environment is not built", where="synthesize.backend", allowed="own", received="synthax", hint="./run.sh setup synthax"
            )
        self.settings, self.synthesiser, self.names = settings, synthesiser, [one.name for one in synthesiser.parameters]
        # SynthAX does not apply the curve of the noise's level, so it is told the level itself.
        self._levels = [place for place, name in enumerate(self.names) if name == "mixer.noise"]

    def __enter__(self) -> SynthAX:
        self._folder = tempfile.TemporaryDirectory(prefix="synthax-")
        self._log = (Path(self._folder.name) / "log").open("w+")
        command = [str(environments.python(ENVIRONMENT)), "-m", CHILD]
        variables = {**clean_environment(1), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(keys.ROOT)}
        self._child = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._child.stdin is not None
        if kind is None:
            self._child.stdin.close()
            self._child.wait(30)
        else:
            self._child.kill()
            self._child.wait()
        self._log.close()
        self._folder.cleanup()

    def render(self, u: torch.Tensor) -> tuple[Array, int]:
        """Return sounds [B, T] of unit values [B, P], and how many of them came out as no numbers, which are silence.

        Raises:
            SynthloomError: SynthAX failed; with what it said.
        """
        units = u.double().cpu().numpy().copy()
        units[:, self._levels] = self.synthesiser.to_human(u.double().cpu()).numpy()[:, self._levels]
        source, target = (str(Path(self._folder.name) / name) for name in ("parameters.npz", "audio.npz"))
        settings = self.settings
        np.savez(
            source, name=settings.synth, names=np.array(self.names), unit=units, sample_rate_hz=settings.sample_rate_hz,
            duration_s=settings.duration_s, control_rate_hz=settings.control_rate_hz,
        )  # fmt: skip
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.stdin.write(f"{source}\t{target}\n")
            self._child.stdin.flush()
            answer = self._child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer.strip() != "done":
            self._log.seek(0)
            raise SynthloomError(f"SynthAX failed: {self._log.read()[-2000:]}")
        with np.load(target, allow_pickle=False) as made:
            audio = np.asarray(made["audio"], np.float32)
        finite = np.isfinite(audio).all(axis=1)
        return np.where(finite[:, None], audio, 0.0).astype(np.float32), int((~finite).sum())
