"""Colours of another space than sRGB, as a picture's ICC profile says, brought to sRGB."""

import contextlib
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile

#: Bytes of a profile that are read: displays' and printers' have up to 2 MB.
_MOST_BYTES = 4_000_000

#: What a profile describes (ICC.1:2022, 7.2.6), and the modes of pictures that it can be applied to.
_MODES = {"RGB": ("RGB", "RGBA", "P", "PA"), "CMYK": ("CMYK",), "GRAY": ("L", "LA")}


def foreign_profile(image: Image.Image) -> "ImageCmsProfile | None":
    """The picture's profile if it is another than sRGB and can be applied; broken ones say nothing."""
    icc = image.info.get("icc_profile")
    if not isinstance(icc, bytes) or not 0 < len(icc) <= _MOST_BYTES:
        return None
    from PIL import ImageCms  # few pictures need it

    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        known = "srgb" in ImageCms.getProfileDescription(profile).lower()
        if not known and image.mode in _MODES.get(profile.profile.xcolor_space.strip(), ()):
            return profile
    return None


def in_srgb(image: Image.Image, profile: "ImageCmsProfile") -> Image.Image:
    """The picture in sRGB: grey stays grey, transparency stays. What can't be converted is as it was."""
    from PIL import ImageCms

    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    grey = image.mode in ("L", "LA")
    plain = image if image.mode in ("CMYK", "RGB", "L") else image.convert("L" if grey else "RGB")
    with contextlib.suppress(ImageCms.PyCMSError):
        converted = ImageCms.profileToProfile(
            plain,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        assert converted is not None  # it is only with inPlace
        plain = converted.convert("L") if grey else converted
        if alpha is not None:
            plain.putalpha(alpha)
        return plain
    return image
