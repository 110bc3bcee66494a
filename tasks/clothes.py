"""Clothes that hang: symmetric silhouettes, given by half their width from the top down.

Each function draws one picture for every throw of the dice: shape (N, 28, 28), from 0 black to 1 white.
"""

import numpy as np

from tasks.drawing import Dice, FloatArray, Knot, Scalar, band, column, curve, ellipse, fabric, paint, shade
from tasks.labels import IMAGE_SIZE

MIDDLE = IMAGE_SIZE / 2
NECK = 0.6
"""Height of the shoulders at the neck, in pixels from the top."""


def t_shirt(dice: Dice) -> FloatArray:
    """Short sleeves in one line with the body; some with a print."""
    u = dice.between
    chest, hem, sleeve = u(5.8, 7.4), u(26.0, 27.8), u(7.5, 10.5)
    shoulders: list[Knot] = [(NECK, u(2.8, 4.0)), (2.4, u(6.2, 7.2)), (sleeve, chest + u(2.2, 5.2))]
    width = curve([*shoulders, (sleeve + 1.8, chest), (18.0, chest - u(-0.2, 0.9)), (hem, chest + u(-0.3, 0.9))])
    cloth = fabric(dice)
    body = _symmetric(width, NECK, hem)
    picture = body * cloth
    seam = _symmetric(column(chest), 4.0, sleeve + 1.8) - _symmetric(column(chest - 0.6), 4.0, sleeve + 1.8)
    paint(picture, 0.5 * seam * body, 0.6 * cloth)
    high = u(8.0, 10.5)
    motif = _symmetric(column(u(1.5, 4.0)), high, high + u(2.0, 6.0)) * shade(dice.chance(0.4))
    paint(picture, motif, shade(u(0.1, 1.0)))
    return picture * (1.0 - _neckline(dice))


def trouser(dice: Dice) -> FloatArray:
    """Two legs below a waistband."""
    u = dice.between
    waist, hem, crotch = u(3.2, 4.6), u(26.3, 27.8), u(7.0, 10.5)
    spread, lean = u(3.6, 6.4), u(-0.8, 0.8)
    width = curve([(0.5, waist), (6.0, waist + u(0.4, 1.4)), (hem, spread)])
    gap = curve([(crotch, 0.0), (crotch + 3.0, u(0.4, 0.9)), (hem, spread - u(2.2, 3.2))])
    cloth = fabric(dice, plain=0.7)
    legs = _symmetric(width, 0.5, hem, lean) - _symmetric(gap, crotch, hem, lean)
    picture = legs * cloth
    paint(picture, _symmetric(width, 0.5, 2.2, lean), shade(u(0.6, 1.1)) * cloth)
    paint(picture, 0.5 * _symmetric(column(0.4), 2.2, crotch, lean), 0.4 * cloth)
    return picture


def pullover(dice: Dice) -> FloatArray:
    """Sleeves as long as the body, a closed front and ribbed ends."""
    u = dice.between
    cloth, hem, chest = fabric(dice), u(24.5, 26.5), u(6.0, 7.2)
    width = curve([(NECK, 2.8), (2.6, u(5.8, 6.8)), (10.0, chest), (hem, chest + u(-0.6, 0.5))])
    rib = shade(u(0.5, 0.85)) * cloth
    picture = np.zeros_like(cloth)
    wrist, reach = np.minimum(hem + u(0.0, 1.5), 27.8), u(10.2, 12.6)
    paint(picture, _sleeves(wrist, reach), cloth)
    paint(picture, _sleeves(wrist, reach, start=wrist - 2.0), rib)
    body = _symmetric(width, NECK, hem)
    edge = body - _symmetric(width - 0.5, NECK, hem)
    paint(picture, body, cloth)
    paint(picture, 0.6 * edge, 0.5 * cloth)
    paint(picture, _symmetric(width, hem - u(1.5, 2.5), hem), rib)
    return picture * (1.0 - _neckline(dice))


def dress(dice: Dice) -> FloatArray:
    """Narrow above, a waist, and a skirt that widens; sleeveless or with short sleeves."""
    u = dice.between
    bust, sleeved, hem, waistline = u(3.6, 4.8), dice.chance(0.35), u(26.5, 27.9), u(9.5, 12.5)
    waist, shoulder = bust - u(0.5, 1.4), u(2.6, 3.8) + sleeved
    tip = bust + sleeved * u(1.0, 2.6) - (1.0 - sleeved) * 0.6
    upper: list[Knot] = [(NECK, shoulder - 0.6), (1.6, shoulder), (5.5, tip), (7.0, bust), (waistline, waist)]
    width = curve([*upper, (waistline + 6.0, waist + u(0.6, 2.2)), (hem, waist + u(1.2, 5.2))])
    cloth, lean = fabric(dice, plain=0.5), u(-0.6, 0.6)
    picture = _symmetric(width, NECK, hem, lean) * cloth
    belt = _symmetric(width, waistline - 0.5, waistline + 0.7, lean) * shade(dice.chance(0.5))
    paint(picture, belt, 0.5 * cloth)
    fold = _symmetric(curve([(waistline, 0.3), (hem, u(1.0, 2.4))]), waistline + 1.0, hem, lean)
    paint(picture, 0.35 * fold, 0.7 * cloth)
    return picture * (1.0 - _neckline(dice, width=2.2))


def coat(dice: Dice) -> FloatArray:
    """Wide and longer than its sleeves, with lapels and a dark front edge."""
    u = dice.between
    cloth, hem, chest, opening = fabric(dice, plain=0.75), u(26.8, 27.9), u(6.8, 7.8), u(7.0, 12.0)
    width = curve([(NECK, 3.2), (2.6, u(6.4, 7.4)), (10.0, chest), (hem, chest + u(0.4, 1.8))])
    picture = _sleeves(u(21.5, 24.5), u(11.6, 13.2)) * cloth
    body = _symmetric(width, NECK, hem)
    paint(picture, body, cloth)
    paint(picture, 0.7 * (body - _symmetric(width - 0.6, NECK, hem)), 0.4 * cloth)
    lapel = curve([(NECK, 3.6), (opening, 0.6)])
    paint(picture, 0.8 * _symmetric(lapel, NECK, opening), np.clip(1.3 * cloth, 0.0, 1.0))
    paint(picture, _symmetric(lapel - 1.4, NECK, opening), shade(u(0.02, 0.2)))
    paint(picture, _symmetric(column(u(0.4, 0.7)), opening, hem), 0.15 * cloth)
    for height in (13.5, 17.5, 21.5):
        paint(picture, _symmetric(column(0.5), height, height + 1.0, offset=1.9), 0.25 * cloth)
    return picture


def shirt(dice: Dice) -> FloatArray:
    """A collar, a buttoned placket and a rounded hem, slim; sleeves long or short, mostly patterned."""
    u = dice.between
    cloth, hem, chest, short = fabric(dice, plain=0.25), u(26.5, 27.8), u(5.2, 6.4), dice.chance(0.3)
    width = curve([(NECK, 2.6), (2.8, u(5.4, 6.2)), (10.0, chest), (17.0, chest - u(0.2, 1.0)), (hem - 3.0, chest)])
    rounded = np.minimum(width, curve([(hem - 3.0, chest), (hem, chest * 0.45)], rounded=True))
    wrist = short * u(11.0, 13.0) + (1.0 - short) * u(23.0, 26.5)
    picture = _sleeves(wrist, u(8.6, 10.4)) * cloth
    body = _symmetric(rounded, NECK, hem)
    paint(picture, body, cloth)
    paint(picture, 0.5 * (body - _symmetric(rounded - 0.5, NECK, hem)), 0.5 * cloth)
    light = np.clip(1.3 * cloth + 0.1, 0.0, 1.0)
    paint(picture, _symmetric(column(u(0.7, 1.1)), 3.0, hem), light)
    for height in (6.5, 10.5, 14.5, 18.5, 22.5):
        paint(picture, _symmetric(column(0.5), height, height + 1.0), 0.15 * cloth)
    _collar(picture, light, u(3.4, 4.6))
    return picture


def _symmetric(
    half_width: FloatArray, start: Scalar, end: Scalar, lean: Scalar = 0.0, offset: float = 0.0
) -> FloatArray:
    """A band around the middle, which leans by ``lean`` pixels from the top to the bottom."""
    half_lean = np.asarray(lean) / 2
    middle = curve([(0.0, MIDDLE + offset - half_lean), (IMAGE_SIZE, MIDDLE + offset + half_lean)])
    return band(middle - half_width, middle + half_width, start, end)


def _sleeves(wrist: Scalar, reach: Scalar, start: Scalar = 2.4) -> FloatArray:
    """Two long sleeves from the shoulders to the wrists, whose outer edge ends ``reach`` pixels from the middle."""
    outer = curve([(2.4, 5.6), (5.0, 7.6), (wrist, reach)])
    inner = outer - curve([(2.4, 4.0), (8.0, 3.6), (wrist, 2.8)])
    return _symmetric(outer, start, wrist) - _symmetric(inner, start, wrist)


def _neckline(dice: Dice, width: float = 2.9) -> FloatArray:
    """The opening at the neck, round or pointed."""
    opening, depth = width * dice.between(0.75, 1.1), NECK + dice.between(1.4, 4.0)
    pointed = curve([(NECK, opening), (depth, 0.0)])
    round_ = ellipse(NECK, depth - NECK, opening)
    return _symmetric(np.where(column(dice.chance(0.4)) > 0, pointed, round_), 0.0, depth)


def _collar(picture: FloatArray, light: FloatArray, depth: FloatArray) -> None:
    """Two pointed flaps with the dark of the neck between them."""
    flaps = _symmetric(curve([(NECK, 2.2), (depth, 3.0)]), 0.3, depth)
    fold = _symmetric(curve([(NECK, 2.2), (depth + 1.0, 3.0)]), depth, depth + 0.8)
    paint(picture, flaps, light)
    paint(picture, 0.7 * fold, 0.3 * light)
    paint(picture, _symmetric(curve([(NECK, 1.7), (depth, 0.0)]), 0.0, depth), 0.08 * light)
