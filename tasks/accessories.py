"""Shoes, seen from the side with the toe to the left, and bags.

Each function draws one picture for every throw of the dice: shape (N, 28, 28), from 0 black to 1 white.
"""

import numpy as np

from tasks.drawing import Dice, FloatArray, Knot, Scalar, band, column, curve, ellipse, fabric, paint, shade, upright
from tasks.labels import IMAGE_SIZE

MIDDLE = IMAGE_SIZE / 2
STRAPS = ((6.0, 4.5, 4.0), (12.5, 4.0, 5.0), (18.0, 4.0, 6.5), (22.5, 4.3, 8.5))
"""Middle, half-width and height of a sandal's straps in pixels, from the toes to the ankle."""


def sandal(dice: Dice) -> FloatArray:
    """A thin bed with open straps, flat or on a heel."""
    u = dice.between
    high = dice.chance(0.4)
    rise, ground = high * u(6.0, 11.0) + (1.0 - high) * u(0.0, 1.5), 20.5 + high * 4.0
    bed = curve([(1.0, ground - 1.2), (9.0, ground - 1.4), (25.0, ground - 1.4 - rise)], rounded=True)
    cloth, thickness = fabric(dice, plain=0.8), column(u(1.2, 2.2))
    picture = np.zeros_like(cloth)
    for middle, half, height in STRAPS:
        thick = u(1.3, 2.4)
        arch = ellipse(middle, half, height * u(0.8, 1.15))
        inner = np.clip(ellipse(middle, half - 0.6 * thick, height) - column(thick), 0.0, arch)
        strap = upright(bed - arch, bed - inner, middle - half, middle + half)
        paint(picture, strap * shade(dice.chance(0.65)), cloth)
    paint(picture, upright(bed, bed + thickness, u(0.5, 1.5), u(26.3, 27.5)), 0.8 * cloth)
    slim = curve([(0.0, 26.6 - u(1.2, 3.0)), (28.0, 25.6)])
    paint(picture, band(slim, column(26.6) + 0.0 * slim, ground - rise, ground + 0.8) * shade(high), 0.7 * cloth)
    return picture


def sneaker(dice: Dice) -> FloatArray:
    """Low, with a thick sole, laces and a stripe on its side."""
    u = dice.between
    ground, tall = u(19.5, 21.0), u(8.2, 10.5)
    tongue = ground - tall
    rise: list[Knot] = [(4.0, ground - 4.0), (9.0, ground - u(5.2, 6.4)), (14.0, tongue), (16.5, tongue + 0.4)]
    heel: list[Knot] = [(19.5, tongue + u(1.2, 2.4)), (23.5, tongue + 1.2), (26.8, tongue - u(-0.6, 0.8))]
    top = curve([(0.8, ground - 1.8), *rise, *heel], rounded=True)
    cloth, flat = fabric(dice, plain=0.85), column(ground)
    picture = upright(top, flat + 0.0 * top, 0.8, 26.8) * cloth
    _slanted_lines(picture, dice, ground, shade(u(0.1, 1.0)))
    paint(picture, 0.6 * upright(top, top + 1.0, 15.5, 26.8), 0.4 * cloth)
    for start in (8.6, 10.6, 12.6):
        paint(picture, upright(top + 0.2, top + 2.4, start, start + 0.9), shade(u(0.7, 1.0)))
    sole = column(u(1.6, 2.6))
    paint(picture, upright(flat - sole + 0.0 * top, flat + 0.6 + 0.0 * top, 0.6, 27.4), shade(u(0.35, 1.0)))
    paint(picture, 0.7 * upright(flat - sole - 0.4 + 0.0 * top, flat - sole + 0.1 + 0.0 * top, 0.8, 26.9), 0.2 * cloth)
    return picture


def bag(dice: Dice) -> FloatArray:
    """A rounded box with a flap or a clasp, most with a handle."""
    u = dice.between
    handled = dice.chance(0.85)
    top, bottom = handled * u(9.0, 14.0) + (1.0 - handled) * u(5.0, 9.0), u(23.5, 27.5)
    upper, lower = u(8.0, 12.5), u(9.5, 13.2)
    sides: list[Knot] = [(top, upper - 1.2), (top + 1.2, upper), (bottom - 1.5, lower), (bottom, lower - 1.5)]
    body = curve(sides, rounded=True)
    cloth = fabric(dice, plain=0.6)
    picture = _around(body, top, bottom) * cloth
    flap = top + u(3.0, 7.0)
    paint(picture, 0.7 * _around(body, flap, flap + 0.8), 0.35 * cloth)
    paint(picture, _around(column(u(0.8, 1.6)), flap - 0.8, flap + u(1.0, 2.0)), shade(u(0.1, 1.0)))
    reach, height = u(4.0, 7.5), top - u(0.8, 3.0)
    outer, thickness = ellipse(top, height, reach), u(1.0, 1.7)
    inner = ellipse(top, height - thickness, reach - thickness)
    handle = _around(outer, 0.0, top) - _around(inner, 0.0, top)
    paint(picture, handle * shade(handled), shade(u(0.5, 1.0)) * cloth)
    return picture


def ankle_boot(dice: Dice) -> FloatArray:
    """A shaft above the ankle and a heel, low or high."""
    u = dice.between
    heel, opening, back, front = u(0.8, 4.2), u(1.5, 7.0), u(23.5, 26.0), u(11.0, 14.0)
    ground = 26.8
    sole = curve([(1.0, ground), (9.0, ground), (back - 6.5, ground - heel), (28.0, ground - heel)], rounded=True)
    instep = ground - heel - u(9.5, 11.5)
    toe: list[Knot] = [(0.8, ground - 2.6), (4.0, ground - u(4.4, 5.6)), (9.0, ground - u(6.4, 8.4))]
    cloth = fabric(dice, plain=0.8)
    picture = upright(curve([*toe, (front + 1.0, instep)], rounded=True), sole, 0.8, back) * cloth
    front_edge = curve([(opening, front + u(-0.8, 0.6)), (instep + 1.5, front)])
    back_edge = curve([(opening, back - u(0.0, 1.4)), (instep + 3.0, back - u(0.5, 1.4)), (ground - 3.0, back)])
    paint(picture, band(front_edge, back_edge, opening, ground - heel), cloth)
    paint(picture, band(front_edge, back_edge, opening, opening + 1.1), shade(u(0.4, 0.8)) * cloth)
    side = u(16.0, 19.0)
    inset = band(column(side) + 0.0 * sole, column(side + u(1.0, 3.5)) + 0.0 * sole, opening + 1.0, instep + 6.0)
    paint(picture, inset * shade(dice.chance(0.5)), 0.4 * cloth)
    paint(picture, upright(sole - 1.2, sole + 0.3, 0.8, back), 0.35 * cloth)
    block = curve([(0.0, back - 5.5), (ground, back - u(2.5, 5.0))])
    paint(picture, band(block, column(back) + 0.0 * block, ground - heel, ground + 0.4), 0.55 * cloth)
    return picture


def _around(half_width: FloatArray, start: Scalar, end: Scalar) -> FloatArray:
    """A band around the middle."""
    wide = half_width + np.zeros_like(curve([(0.0, 0.0), (1.0, 0.0)]))
    return band(MIDDLE - wide, MIDDLE + wide, start, end)


def _slanted_lines(picture: FloatArray, dice: Dice, ground: FloatArray, brightness: FloatArray) -> None:
    """Up to three stripes on the side of a sneaker."""
    for start in (14.5, 17.0, 19.5):
        edge = curve([(ground - 7.0, start + 1.6), (ground - 2.0, start - 1.2)])
        stripe = band(edge, edge + 1.2, ground - 6.2, ground - 2.2)
        paint(picture, stripe * shade(dice.chance(0.55)), brightness)
