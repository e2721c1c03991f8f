"""A slow second implementation: one value at a time, in decimal arithmetic, from the publications."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext


def exact(value: float | str) -> Decimal:
    return Decimal(str(value))


def half_up(value: Decimal, places: str = "1") -> Decimal:
    return value.quantize(Decimal("1e-9"), rounding=ROUND_HALF_UP).quantize(Decimal(places), rounding=ROUND_HALF_UP)


def between(value: Decimal, low: str, high: str) -> Decimal:
    return min(max(value, Decimal(low)), Decimal(high))


def meld_i_raw(bilirubin: float, creatinine: float, inr: float, dialysed: bool, constant: str = "0.643") -> Decimal:
    with localcontext() as context:
        context.prec = 40
        creatinine_bounded = Decimal(4) if dialysed else between(exact(creatinine), "1", "4")
        inner = Decimal("0.957") * creatinine_bounded.ln()
        inner += Decimal("0.378") * max(exact(bilirubin), Decimal(1)).ln()
        inner += Decimal("1.120") * max(exact(inr), Decimal(1)).ln()
        return 10 * (inner + Decimal(constant))


def bounded(raw: Decimal) -> int:
    return int(min(max(half_up(raw), Decimal(6)), Decimal(40)))


def meld_na(bilirubin: float, creatinine: float, inr: float, dialysed: bool, sodium: float) -> int:
    meld = bounded(meld_i_raw(bilirubin, creatinine, inr, dialysed))
    if meld <= 11:
        return meld
    deficit = 137 - between(exact(sodium), "125", "137")
    return bounded(meld + Decimal("1.32") * deficit - Decimal("0.033") * meld * deficit)


def meld_3_0_raw(
    bilirubin: float, creatinine: float, inr: float, dialysed: bool, sodium: float, albumin: float, female: bool
) -> Decimal:
    with localcontext() as context:
        context.prec = 40
        ln_bilirubin = max(exact(bilirubin), Decimal(1)).ln()
        ln_inr = max(exact(inr), Decimal(1)).ln()
        ln_creatinine = (Decimal(3) if dialysed else between(exact(creatinine), "1", "3")).ln()
        na = between(exact(sodium), "125", "137")
        alb = between(exact(albumin), "1.5", "3.5")
        total = Decimal("1.33") if female else Decimal(0)
        total += Decimal("4.56") * ln_bilirubin
        total += Decimal("0.82") * (137 - na)
        total -= Decimal("0.24") * (137 - na) * ln_bilirubin
        total += Decimal("9.09") * ln_inr
        total += Decimal("11.14") * ln_creatinine
        total += Decimal("1.85") * (Decimal("3.5") - alb)
        total -= Decimal("1.83") * (Decimal("3.5") - alb) * ln_creatinine
        return total + 6


def albi(bilirubin: float, albumin: float) -> tuple[Decimal, int]:
    with localcontext() as context:
        context.prec = 40
        score = Decimal("0.66") * exact(bilirubin).log10() - Decimal("0.085") * exact(albumin)
    grade = 1 if score <= Decimal("-2.60") else 2 if score <= Decimal("-1.39") else 3
    return score, grade


def egfr(creatinine: float, age: int, female: bool) -> Decimal:
    with localcontext() as context:
        context.prec = 40
        ratio = exact(creatinine) / Decimal("0.7" if female else "0.9")
        alpha = Decimal("-0.241" if female else "-0.302")
        rate = 142 * min(ratio, Decimal(1)) ** alpha * max(ratio, Decimal(1)) ** Decimal("-1.2")
        rate *= Decimal("0.9938") ** age
        return rate * Decimal("1.012") if female else rate


def child_pugh(bilirubin_mg_dl: str, albumin_g_dl: str, inr: str, ascites: str, encephalopathy: int) -> int:
    """The total with the cut-offs in mg/dL and g/dL, of decimal texts."""
    bilirubin, albumin, ratio = Decimal(bilirubin_mg_dl), Decimal(albumin_g_dl), Decimal(inr)
    total = 1 if bilirubin < 2 else 3 if bilirubin > 3 else 2
    total += 1 if albumin > Decimal("3.5") else 3 if albumin < Decimal("2.8") else 2
    total += 1 if ratio < Decimal("1.7") else 3 if ratio > Decimal("2.3") else 2
    total += ["ABSENT", "SLIGHT", "MODERATE"].index(ascites) + 1
    return total + (1 if encephalopathy == 0 else 2 if encephalopathy <= 2 else 3)


INTERVALS = {
    # Grades 1 to 4 as CTCAE v5.0 prints them, with the limit the multiples refer to.
    "ALT": [">1-3", ">3-5", ">5-20", ">20"],
    "AST": [">1-3", ">3-5", ">5-20", ">20"],
    "ALP": [">1-2.5", ">2.5-5", ">5-20", ">20"],
    "GGT": [">1-2.5", ">2.5-5", ">5-20", ">20"],
    "BILI": [">1-1.5", ">1.5-3", ">3-10", ">10"],
    "APTT": [">1-1.5", ">1.5-2.5", ">2.5"],
    "LDH": [">1"],
}
FROM_HIGH_BASELINE = {
    "ALT": ["1.5-3", *INTERVALS["ALT"][1:]],
    "AST": ["1.5-3", *INTERVALS["AST"][1:]],
    "ALP": ["2-2.5", *INTERVALS["ALP"][1:]],
    "GGT": ["2-2.5", *INTERVALS["GGT"][1:]],
    "BILI": INTERVALS["BILI"],
}
BELOW = {
    # The lower ends of grades 1, 2 and 3; below the last lies the highest grade.
    "ALB": [(1, "30"), (2, "20"), (3, None)],
    "PLAT": [(1, "75"), (2, "50"), (3, "25"), (4, None)],
    "WBC": [(1, "3.0"), (2, "2.0"), (3, "1.0"), (4, None)],
    "NEUT": [(1, "1.5"), (2, "1.0"), (3, "0.5"), (4, None)],
    "LYM": [(1, "0.8"), (2, "0.5"), (3, "0.2"), (4, None)],
    "HGB": [(1, "100"), (2, "80"), (3, None)],
    "SODIUM": [(1, "130"), (2, "125"), (3, "120"), (4, None)],
    "K": [(1, "3.0"), (3, "2.5"), (4, None)],
}
ABOVE = {"SODIUM": ["150", "155", "160"], "K": ["5.5", "6.0", "7.0"]}


def within(ratio: Decimal, interval: str) -> bool:
    low, _, high = interval.removeprefix(">").partition("-")
    reached = ratio > Decimal(low) if interval.startswith(">") else ratio >= Decimal(low)
    return reached and (not high or ratio <= Decimal(high))


def ctcae_high(
    test: str, value: float, *, upper: float | None = None, baseline: float | None = None, high: bool | None = None
) -> int:
    result = exact(value)
    if test == "INR":
        return sum(result > Decimal(end) for end in ("1.2", "1.5", "2.5"))
    assert upper is not None
    if test in ABOVE:
        beyond = sum(result > Decimal(end) for end in ABOVE[test])
        return 1 + beyond if beyond or result > exact(upper) else 0
    if test == "CREAT":
        assert baseline is not None
        by_limit = ["<", ">1-1.5", ">1.5-3", ">3-6", ">6"]
        grade = next((g for g in range(1, 5) if within(result / exact(upper), by_limit[g])), 0)
        rise = result / exact(baseline)
        return max(grade, 3 if rise > 3 else 2 if rise > Decimal("1.5") else 0)
    if high and test in FROM_HIGH_BASELINE:
        assert baseline is not None
        intervals, ratio = FROM_HIGH_BASELINE[test], result / exact(baseline)
    else:
        intervals, ratio = INTERVALS[test], result / exact(upper)
    return next((grade for grade, interval in enumerate(intervals, 1) if within(ratio, interval)), 0)


def ctcae_low(test: str, value: float, *, lower: float) -> int:
    result = exact(value)
    if test == "FIBRINO":
        share = result / exact(lower)
        if result < Decimal("0.5") or share < Decimal("0.25"):
            return 4
        return 3 if share < Decimal("0.5") else 2 if share < Decimal("0.75") else 1 if share < 1 else 0
    steps = BELOW[test]
    if result >= exact(lower) and result >= Decimal(str(steps[0][1])):
        return 0
    return next(grade for grade, end in steps if end is None or result >= Decimal(end))
