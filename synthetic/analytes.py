"""The laboratory's items: codes, names, units, ranges, and how each varies in this disease.

Reference ranges follow the adult ranges in use in China (WS/T 404 and 405) as remembered; they are
illustrative.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Analyte:
    """One item of the laboratory.

    ``stream`` numbers its random stream (never re-used). ``log`` tells whether ``centre`` is a median with
    ``spread`` the SD of its logarithm, or a mean with its SD. ``severity`` is the correlation of the
    subject's own level with the latent severity; ``visit`` the effect of the latent visit-to-visit process
    and ``noise`` the SD of the measurement, both on the scale of the spread; ``drift`` the full change
    under treatment and care. An item without ``centre`` is computed from others. ``limit`` is the lower
    reporting limit.
    """

    code: str
    name: str
    panel: str
    unit: str
    decimals: int
    range_m: Range
    range_f: Range
    stream: int
    centre: float | None = None
    spread: float = 0.0
    log: bool = True
    severity: float = 0.0
    visit: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    low: float = 0.0
    high: float = 1e9
    limit: float | None = None
    range_decimals: int | None = None


def _a(
    code: str, name: str, panel: str, unit: str, decimals: int, m: Range, f: Range, stream: int, **how: float
) -> Analyte:
    log = bool(how.pop("log", 1.0))
    places = how.pop("range_decimals", None)
    return Analyte(
        code, name, panel, unit, decimals, m, f, stream, log=log,
        range_decimals=None if places is None else int(places), **how,
    )  # fmt: skip


ANALYTES: tuple[Analyte, ...] = (
    _a("ALT", "丙氨酸氨基转移酶", "B", "U/L", 0, (9, 50), (7, 40), 1,
       centre=32, spread=0.42, severity=0.1, visit=0.15, noise=0.10, low=8, high=2000),
    _a("AST", "天门冬氨酸氨基转移酶", "B", "U/L", 0, (15, 40), (13, 35), 2,
       centre=1.65, spread=0.15, severity=0.1, noise=0.05, low=12, high=2000),
    _a("ALP", "碱性磷酸酶", "B", "U/L", 0, (45, 125), (35, 100), 3,
       centre=120, spread=0.25, severity=0.1, visit=0.05, noise=0.05, low=35, high=800),
    _a("GGT", "γ-谷氨酰转肽酶", "B", "U/L", 0, (10, 60), (7, 45), 4,
       centre=95, spread=0.69, visit=0.10, noise=0.06, low=12, high=1500),
    _a("LDH", "乳酸脱氢酶", "B", "U/L", 0, (120, 250), (120, 250), 5,
       centre=210, spread=0.18, severity=0.2, noise=0.05, low=100, high=900),
    _a("TBIL", "总胆红素", "B", "μmol/L", 1, (0, 26), (0, 21), 6, range_decimals=1,
       centre=42, spread=0.53, severity=0.8, visit=0.30, noise=0.05, drift=-0.25, low=6, high=210),
    _a("DBIL", "直接胆红素", "B", "μmol/L", 1, (0, 8), (0, 8), 7, range_decimals=1,
       centre=0.50, spread=0.06, log=0, severity=0.4, noise=0.02, low=0.3, high=0.7),
    _a("IBIL", "间接胆红素", "B", "μmol/L", 1, (0, 18), (0, 18), 8, range_decimals=1),
    _a("ALB", "白蛋白", "B", "g/L", 1, (40, 55), (40, 55), 9,
       centre=30.2, spread=3.2, log=0, severity=-0.5, visit=-0.9, noise=0.6, drift=2.0, low=20.5, high=46),
    _a("TP", "总蛋白", "B", "g/L", 1, (65, 85), (65, 85), 10),
    _a("GLOB", "球蛋白", "B", "g/L", 1, (20, 40), (20, 40), 11,
       centre=33, spread=4, log=0, severity=0.2, visit=0.3, noise=0.7, low=20, high=50),
    _a("A/G", "白球比", "B", "", 2, (1.2, 2.4), (1.2, 2.4), 12, range_decimals=1),
    _a("CHE", "胆碱酯酶", "B", "U/L", 0, (5000, 12000), (5000, 12000), 13,
       centre=3200, spread=0.30, severity=-0.5, visit=-0.06, noise=0.03, drift=0.08, low=900, high=12000),
    _a("TBA", "总胆汁酸", "B", "μmol/L", 1, (0, 10), (0, 10), 14, range_decimals=1,
       centre=45, spread=0.6, severity=0.5, visit=0.15, noise=0.12, low=4, high=300),
    _a("CREA", "肌酐", "B", "μmol/L", 0, (57, 97), (41, 73), 15,
       centre=75, spread=14, log=0, severity=0.15, visit=3, noise=3, low=42, high=480),
    _a("UREA", "尿素", "B", "mmol/L", 1, (3.1, 8.0), (2.6, 7.5), 16,
       centre=5.2, spread=1.2, log=0, severity=0.1, visit=0.2, noise=0.3, low=2.2, high=30),
    _a("UA", "尿酸", "B", "μmol/L", 0, (208, 428), (155, 357), 17,
       centre=300, spread=60, log=0, noise=15, low=130, high=620),
    _a("CYSC", "胱抑素C", "B", "mg/L", 2, (0.55, 1.25), (0.55, 1.25), 18,
       centre=1.05, spread=0.16, log=0, severity=0.1, visit=0.03, noise=0.04, low=0.55, high=4),
    _a("NA", "钠", "B", "mmol/L", 1, (137, 147), (137, 147), 19,
       centre=136.5, spread=2.8, log=0, severity=-0.4, visit=-0.9, noise=0.9, low=118, high=147),
    _a("K", "钾", "B", "mmol/L", 2, (3.5, 5.3), (3.5, 5.3), 20, range_decimals=1,
       centre=4.0, spread=0.28, log=0, noise=0.2, low=3.1, high=5.6),
    _a("CL", "氯", "B", "mmol/L", 1, (99, 110), (99, 110), 21,
       centre=33.5, spread=1.0, log=0, noise=0.7, low=30, high=37),
    _a("GLU", "葡萄糖", "B", "mmol/L", 2, (3.9, 6.1), (3.9, 6.1), 22, range_decimals=1,
       centre=5.4, spread=0.6, log=0, noise=0.4, low=3.4, high=10),
    _a("EGFR", "估算肾小球滤过率", "B", "mL/min/1.73m2", 1, (90, 140), (90, 140), 23),
    _a("NH3", "血氨", "N", "μmol/L", 0, (18, 72), (18, 72), 24,
       centre=48, spread=0.36, severity=0.3, visit=0.10, noise=0.12, low=12, high=180),
    _a("PT", "凝血酶原时间", "C", "s", 1, (11, 14), (11, 14), 25),
    _a("INR", "国际标准化比值", "C", "", 2, (0.8, 1.2), (0.8, 1.2), 26, range_decimals=1,
       centre=1.38, spread=0.131, severity=0.75, visit=0.06, noise=0.02, drift=-0.055, low=0.95, high=4.5),
    _a("PTA", "凝血酶原活动度", "C", "%", 0, (70, 130), (70, 130), 27),
    _a("APTT", "活化部分凝血活酶时间", "C", "s", 1, (25, 37), (25, 37), 28,
       centre=38, spread=3.5, log=0, severity=0.4, visit=0.5, noise=1.0, low=26, high=70),
    _a("FIB", "纤维蛋白原", "C", "g/L", 2, (2, 4), (2, 4), 29, range_decimals=1,
       centre=1.9, spread=0.4, log=0, severity=-0.3, visit=-0.05, noise=0.12, low=0.9, high=5),
    _a("WBC", "白细胞", "H", "10^9/L", 2, (3.5, 9.5), (3.5, 9.5), 30, range_decimals=1,
       centre=3.9, spread=0.24, visit=0.03, noise=0.10, low=2.15, high=20),
    _a("NEUT#", "中性粒细胞绝对值", "H", "10^9/L", 2, (1.8, 6.3), (1.8, 6.3), 31, range_decimals=1),
    _a("NEUT%", "中性粒细胞百分比", "H", "%", 1, (40, 75), (40, 75), 32, range_decimals=0),
    _a("LYM#", "淋巴细胞绝对值", "H", "10^9/L", 2, (1.1, 3.2), (1.1, 3.2), 33, range_decimals=1),
    _a("LYM%", "淋巴细胞百分比", "H", "%", 1, (20, 50), (20, 50), 34, range_decimals=0,
       centre=29, spread=4.0, log=0, noise=1.8, low=25, high=42),
    _a("MONO#", "单核细胞绝对值", "H", "10^9/L", 2, (0.1, 0.6), (0.1, 0.6), 35, range_decimals=1),
    _a("EOS#", "嗜酸性粒细胞绝对值", "H", "10^9/L", 2, (0.02, 0.52), (0.02, 0.52), 36, range_decimals=2),
    _a("BASO#", "嗜碱性粒细胞绝对值", "H", "10^9/L", 2, (0, 0.06), (0, 0.06), 37, range_decimals=2),
    _a("RBC", "红细胞", "H", "10^12/L", 2, (4.3, 5.8), (3.8, 5.1), 38, range_decimals=1,
       centre=31.0, spread=1.4, log=0, noise=0.2, low=27, high=35),
    _a("HGB", "血红蛋白", "H", "g/L", 0, (130, 175), (115, 150), 39,
       centre=114, spread=14, log=0, severity=-0.2, visit=-1.5, noise=2.5, low=82, high=170),
    _a("HCT", "红细胞压积", "H", "%", 1, (40, 50), (35, 45), 40, range_decimals=0,
       centre=0.298, spread=0.003, log=0, noise=0.002, low=0.285, high=0.311),
    _a("PLT", "血小板", "H", "10^9/L", 0, (125, 350), (125, 350), 41,
       centre=82, spread=0.40, severity=-0.3, visit=-0.05, noise=0.07, low=26, high=420),
    _a("AFP", "甲胎蛋白", "T", "ng/mL", 2, (0, 7), (0, 7), 42, range_decimals=0,
       centre=2.0, spread=0.75, noise=0.08, low=0.2, high=900, limit=0.50),
    _a("CRP", "C反应蛋白", "I", "mg/L", 2, (0, 10), (0, 10), 43, range_decimals=0,
       centre=4.5, spread=0.6, severity=0.2, visit=0.1, noise=0.25, low=0.6, high=200),
    _a("PCT", "降钙素原", "I", "ng/mL", 2, (0, 0.5), (0, 0.5), 44, range_decimals=1,
       centre=0.09, spread=0.35, severity=0.2, noise=0.2, low=0.02, high=20, limit=0.05),
)  # fmt: skip

BY_CODE = {analyte.code: analyte for analyte in ANALYTES}
DIFFERENTIAL_STREAM = 60
"""Stream of the monocyte, eosinophil and basophil percentages, which the laboratory does not print."""


@dataclass(frozen=True)
class Panel:
    """One order: its letter, barcode digit, specimen and analyser, and hours from receipt to report."""

    letter: str
    digit: int
    specimen: str
    analyser: str
    hours: int


PANELS = (
    Panel("B", 1, "血清", "CHEM-01", 3),
    Panel("N", 2, "血浆", "CHEM-01", 1),
    Panel("C", 3, "血浆", "COAG-01", 2),
    Panel("H", 4, "全血", "HEMA-01", 1),
    Panel("T", 5, "血清", "IMMU-01", 6),
    Panel("I", 6, "血清", "IMMU-01", 4),
)


def reference_range(analyte: Analyte, *, female: bool, age: int) -> Range:
    """Return the range for sex; alkaline phosphatase of women of 50 and over has its own."""
    if analyte.code == "ALP" and female and age >= 50:
        return (50, 135)
    return analyte.range_f if female else analyte.range_m
