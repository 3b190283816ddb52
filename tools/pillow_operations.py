"""RandAugment's operations with Pillow, by the table of levels in timm's op set."""

from PIL import Image, ImageEnhance, ImageOps

POINTS = (
    "AutoContrast",
    "Brightness",
    "Color",
    "Contrast",
    "Equalize",
    "Identity",
    "Invert",
    "Posterize",
    "Sharpness",
    "Solarize",
    "SolarizeAdd",
)
MAPS = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
CMC = ("AutoContrast", "Identity", "Sharpness", *MAPS)


def point(image: Image.Image, name: str, level: float) -> Image.Image:
    """Operations on values and neighbourhoods at a level 0..10."""
    if name == "Identity":
        return image
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(ImageOps, name.lower())(image)
    if name == "Posterize":
        # `ImageOps.posterize` of some versions refuses to keep no bit at all.
        step = 2 ** (8 - int(level / 10 * 4))
        return image.point([i // step * step for i in range(256)] * 3)
    if name == "Solarize":
        return ImageOps.solarize(image, int(level / 10 * 256))
    if name == "SolarizeAdd":
        added = int(level / 10 * 110)
        return image.point([min(255, i + added) if i < 128 else i for i in range(256)] * 3)
    return getattr(ImageEnhance, name)(image).enhance(level / 10 * 1.8 + 0.1)


def affine(image: Image.Image, name: str, level: float, cubic: bool, fill) -> Image.Image:
    """Maps at a level -10..10; images of any mode."""
    options = {"resample": Image.BICUBIC if cubic else Image.BILINEAR, "fillcolor": fill}
    if name == "Rotate":
        return image.rotate(level / 10 * 30, **options)
    coefficients = shear_or_translation(name, level, image.size)
    return image.transform(image.size, Image.AFFINE, coefficients, **options)


def shear_or_translation(name: str, level: float, size: tuple[int, int]) -> tuple[float, ...]:
    """(a, b, c, d, e, f) of Pillow: the source is at (a x + b y + c, d x + e y + f)."""
    slope, part = level / 10 * 0.3, level / 10 * 0.45
    return {
        "ShearX": (1, slope, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, slope, 1, 0),
        "TranslateXRel": (1, 0, part * size[0], 0, 1, 0),
        "TranslateYRel": (1, 0, 0, 0, 1, part * size[1]),
    }[name]
