"""AudioMAE (Huang et al., 2022), fine-tuned, as synth-proxy listens with it: patches, averaged over the last four layers.

The weights are a file of the authors and are opened by path; there is no download here.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path, PosixPath

import torch
from torch import Tensor, nn

from core import keys
from core.errors import InvalidValueError
from tasks.ast_classifier.fbank import MELS, filter_bank, fit
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.audio_models.vision_transformer import EPSILON, PATCH, Patches, Size, blocks
from tasks.audio_models.weights import load_strictly, read

RATES_HZ = {"audiomae": 16000, "audiomae_44k": 44100}
"""The network was trained on sounds at 16,000 Hz. The published study gave it 44,100 Hz, to hear what is above 8,000 Hz: its mel bands then
lie elsewhere than those it has learned, so that this is not the default."""
SIZE = Size(12, 768, 12)
LAYERS = 4
"""The last ones, of which the mean is taken."""
FRAMES = 1024
"""Of 10 ms, which the network hears at once."""
CLASSES = 527
"""Of AudioSet."""
FRAME_S = 0.025
PUBLISHED = "the fine-tuned file (AudioSet-2M) that github.com/facebookresearch/AudioMAE links to, finetuned.pth"
HARMLESS = (Namespace, PosixPath)
"""The settings of its training are in the file, too."""


class AudioMae(nn.Module):
    """The network, its classifier included, so that a file of weights can be loaded strictly.

    Args:
        size: of the transformer.
        classes: of the classifier.
    """

    def __init__(self, size: Size, classes: int = CLASSES) -> None:
        super().__init__()
        width = size.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + FRAMES // PATCH * MELS // PATCH, width))
        self.patch_embed, self.blocks = Patches(width, PATCH), blocks(size)
        self.fc_norm, self.head = nn.LayerNorm(width, EPSILON), nn.Linear(width, classes)

    def layers(self, levels: Tensor) -> list[Tensor]:
        """Return the tokens [B, 513, width] behind each block of spectrograms [B, 1024 frames, 128 bands]; the first token is no patch."""
        patches = self.patch_embed(levels[:, None]).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(levels), -1, -1), patches], 1) + self.pos_embed
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    def contextual(self, levels: Tensor) -> Tensor:
        """Return the patches [B, 512, width], frames first, of spectrograms: the mean over the last four layers, each normalised."""
        normalised = [self.fc_norm(tokens[:, 1:]) for tokens in self.layers(levels)[-LAYERS:]]
        return torch.stack(normalised).mean(0)

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits [B, classes]; see :meth:`layers`."""
        logits: Tensor = self.head(self.fc_norm(self.layers(levels)[-1][:, 1:].mean(1)))
        return logits


class AudioMaePatches(AudioModel):
    """A moment is a patch of 160 ms and 16 mel bands; there are 512 of them in each 10.24 s.

    What is missing of the last 10.24 s is filled up as in the training, with level 0, and these patches count, too. The authors cut sounds
    that are longer; here all pieces of 10.24 s are heard.

    Args:
        name: one of :data:`RATES_HZ`.
        digest: of the weights' file.
        reduction: over the patches; the published study took the maximum.
    """

    def __init__(self, name: str, digest: str = "", reduction: Reduction = "avg") -> None:
        super().__init__(name, RATES_HZ[name], SIZE.width, False, reduction, digest)
        self.network = AudioMae(SIZE)

    def moments(self, audio: Tensor) -> Tensor:
        """Return the features of each patch [sounds, patches, d]; see :class:`AudioModel`.

        Sounds shorter than a frame of 25 ms get silence behind them.
        """
        audio = nn.functional.pad(audio, (0, max(0, int(self.sample_rate_hz * FRAME_S) - audio.shape[1])))
        # Piece by piece: a vector hangs on its sound alone.
        return torch.stack([torch.cat([self.network.contextual(piece[None])[0] for piece in self.levels(sound)]) for sound in audio])

    def levels(self, sound: Tensor) -> Tensor:
        """Return normalised log-mel levels [pieces, 1024, 128] of a sound [samples], as AudioMAE's ``dataset.py`` makes them."""
        # On the CPU, where Kaldi's bands are worked out anew for every sound anyway.
        bank = filter_bank(sound.cpu().numpy(), self.sample_rate_hz)
        return fit(bank, -(-len(bank) // FRAMES) * FRAMES).unflatten(0, (-1, FRAMES)).to(sound.device)


def open_audio_mae(name: str, path: Path, device: str | torch.device, reduction: Reduction) -> AudioModel:
    """Load the weights that the file has under ``model``; all must fit, and every one of the network must be there.

    Raises:
        InvalidValueError: no file, or one of another network, such as the one before fine-tuning.
    """
    saved = read(name, path, PUBLISHED, HARMLESS)
    if not isinstance(saved, dict) or "model" not in saved:
        received = sorted(saved)[:5] if isinstance(saved, dict) else type(saved).__name__
        raise InvalidValueError("no weights under 'model'", where=path.name, allowed=PUBLISHED, received=received)
    model = AudioMaePatches(name, keys.file_digest(path), reduction)
    load_strictly(model.network, saved["model"], path, "AudioMAE's ViT-B, fine-tuned")
    return frozen(model, device)
