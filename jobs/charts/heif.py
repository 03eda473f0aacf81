"""HEIC, as phones store photos: Pillow reads it by a plug-in of the extra `heic`, loaded for the first such file."""

from jobs.core.errors import ImageError

#: Brands of ISO/IEC 23008-12 in a file's `ftyp` box; mif1 and msf1 say only that there is some picture inside.
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def is_heif(data: bytes) -> bool:
    """Whether a file says that it is HEIF, and not AVIF, which Pillow reads by itself."""
    if data[4:8] != b"ftyp":
        return False
    box = data[8 : min(int.from_bytes(data[:4]), 256)]  # the brand, its version, then the brands it agrees with
    brands = {box[:4], *(box[at : at + 4] for at in range(8, len(box), 4))}
    return bool(brands & _BRANDS) and not brands & _AVIF_BRANDS


def register_heif() -> str:
    """Pillow's name of the format, once it can read it. Raises ImageError: the extra is not installed."""
    try:
        from pillow_heif import register_heif_opener  # for the few who need it: 40 ms, and libheif's 20 MB
    except ImportError as error:
        raise ImageError("HEIC files need one package more: pip install 'chartq[heic]', or export it as PNG") from error
    register_heif_opener(thumbnails=False)
    return "HEIF"
