"""DX7 voices: bulk dumps of 32, single voice dumps, and bare packed voices of 128 bytes, as Debian's hexter has them.

Raw values are a voice's whole numbers divided by their highest; names are Dexed's, whose parameters they are.
"""

from __future__ import annotations

from core.errors import InvalidValueError
from tasks.presets.raw_preset import RawPreset

PACKED, UNPACKED = 128, 155
OPERATORS = 6
BULK, SINGLE = b"\x09\x20\x00", b"\x00\x01\x1b"
"""Format and number of bytes in the head of a dump of 32 voices, and of one."""
PITCH = 126
"""Place of the pitch envelope in an unpacked voice; all other places that follow are of the whole voice."""
VOICE = (
    *((f"pitch_eg_rate_{k}", 99) for k in range(1, 5)), *((f"pitch_eg_level_{k}", 99) for k in range(1, 5)), ("algorithm", 31),
    ("feedback", 7), ("osc_key_sync", 1), ("lfo_speed", 99), ("lfo_delay", 99), ("lfo_pm_depth", 99), ("lfo_am_depth", 99),
    ("lfo_key_sync", 1), ("lfo_wave", 5), ("p_mode_sens", 7), ("middle_c", 48),
)  # fmt: skip
"""Name and highest number of each place of an unpacked voice from :data:`PITCH` on."""
OPERATOR = (
    *((f"eg_rate_{k}", 99) for k in range(1, 5)), *((f"eg_level_{k}", 99) for k in range(1, 5)), ("break_point", 99),
    ("l_scale_depth", 99), ("r_scale_depth", 99), ("l_key_scale", 3), ("r_key_scale", 3), ("rate_scaling", 7), ("a_mod_sens", 3),
    ("key_velocity", 7), ("output_level", 99), ("mode", 1), ("f_coarse", 31), ("f_fine", 99), ("osc_detune", 14),
)  # fmt: skip
"""The same of an operator; operators come last one first."""


def read(data: bytes, where: str) -> list[RawPreset]:
    """Return the voices of a file.

    Args:
        data: its bytes.
        where: its name, for the presets' names.

    Raises:
        InvalidValueError: no DX7 voices.
    """
    return [
        RawPreset(f"{where} {number:03d} {name_of(voice)}".rstrip(), parameters(voice))
        for number, voice in enumerate(voices(data, where), start=1)
    ]


def voices(data: bytes, where: str) -> list[bytes]:
    """Return unpacked voices of 155 bytes. Checksums are not looked at: those of old dumps are often wrong."""
    if data[:1] == b"\xf0":
        found = [voice for message in _messages(data) for voice in _of_message(message)]
    elif data and len(data) % PACKED == 0:
        found = [unpacked(data[at : at + PACKED]) for at in range(0, len(data), PACKED)]
    else:
        found = []
    if not found:
        allowed = "system exclusive dumps of 1 or 32 voices, or packed voices of 128 bytes each"
        raise InvalidValueError("no DX7 voices", where=where, allowed=allowed, received=f"{len(data)} bytes")
    return found


def _messages(data: bytes) -> list[bytes]:
    """Return the system exclusive messages of a file, without their first and last byte."""
    return [part.split(b"\xf7")[0] for part in data.split(b"\xf0")[1:] if b"\xf7" in part]


def _of_message(message: bytes) -> list[bytes]:
    head, payload = message[2:5], message[5:-1]
    if message[:1] != b"\x43":  # Yamaha
        return []
    if head == BULK and len(payload) == 32 * PACKED:
        return [unpacked(payload[at : at + PACKED]) for at in range(0, len(payload), PACKED)]
    return [payload] if head == SINGLE and len(payload) == UNPACKED else []


def unpacked(packed: bytes) -> bytes:
    """Return the 155 bytes of a voice packed into 128; the highest bit of each byte means nothing."""
    data = bytes(byte & 0x7F for byte in packed)
    found = bytearray()
    for at in range(0, OPERATORS * 17, 17):
        one = data[at : at + 17]
        found += one[:11]
        found += bytes([one[11] & 3, one[11] >> 2 & 3, one[12] & 7, one[13] & 3, one[13] >> 2 & 7])
        found += bytes([one[14], one[15] & 1, one[15] >> 1 & 31, one[16], one[12] >> 3])
    rest = data[OPERATORS * 17 :]
    found += rest[:8] + bytes([rest[8] & 31, rest[9] & 7, rest[9] >> 3 & 1]) + rest[10:14]
    found += bytes([rest[14] & 1, rest[14] >> 1 & 7, rest[14] >> 4 & 7, rest[15]]) + rest[16:26]
    return bytes(found)


def name_of(voice: bytes) -> str:
    """Return the ten letters of an unpacked voice's name, those that cannot be printed left out."""
    return "".join(chr(byte) for byte in voice[145:155] if 32 <= byte < 127).strip()


def parameters(voice: bytes) -> dict[str, float]:
    """Return the raw values of an unpacked voice; numbers above their highest count as the highest."""
    found = {name: min(byte, highest) / highest for (name, highest), byte in zip(VOICE, voice[PITCH:145], strict=True)}
    for number in range(OPERATORS):
        at = (OPERATORS - 1 - number) * len(OPERATOR)
        own = zip(OPERATOR, voice[at : at + len(OPERATOR)], strict=True)
        found |= {f"op{number + 1}_{name}": min(byte, highest) / highest for (name, highest), byte in own}
        found[f"op{number + 1}_switch"] = 1.0
    return found
