"""Adverse events that may befall a simulated subject: CTCAE v5.0 terms and organ classes, incidences, grades.

Incidences are orders of magnitude per subject over the whole follow-up, not estimates of any product's
safety.
"""

from __future__ import annotations

from dataclasses import dataclass

GENERAL = "General disorders and administration site conditions"
NERVOUS = "Nervous system disorders"
SKIN = "Skin and subcutaneous tissue disorders"
VASCULAR = "Vascular disorders"
GASTRO = "Gastrointestinal disorders"
INFECTIONS = "Infections and infestations"
RENAL = "Renal and urinary disorders"
METABOLISM = "Metabolism and nutrition disorders"
INVESTIGATIONS = "Investigations"
HEPATOBILIARY = "Hepatobiliary disorders"
INJURY = "Injury, poisoning and procedural complications"
NEOPLASMS = "Neoplasms benign, malignant and unspecified (incl cysts and polyps)"
BLOOD = "Blood and lymphatic system disorders"


@dataclass(frozen=True)
class EventKind:
    """A kind of event. ``grades`` maps grade to probability; it is serious from grade ``serious_from`` on."""

    term: str
    term_zh: str
    ctcae: str
    soc: str
    incidence: float = 0.0
    grades: tuple[tuple[int, float], ...] = ((1, 1.0),)
    days: tuple[int, int] = (2, 10)
    serious_from: int = 4
    treated: float = 0.5
    related: float = 0.0
    infection: bool = False
    during: bool = False


INFUSION_KINDS = (
    EventKind("Pyrexia", "发热", "Fever", GENERAL, 0.20, ((1, 0.75), (2, 0.25)), (0, 1), treated=0.5),
    EventKind("Chills", "寒战", "Chills", GENERAL, 0.08, ((1, 0.8), (2, 0.2)), (0, 0), treated=0.3),
    EventKind("Headache", "头痛", "Headache", NERVOUS, 0.06, ((1, 0.9), (2, 0.1)), (0, 2), treated=0.2),
    EventKind("Rash", "皮疹", "Rash maculo-papular", SKIN, 0.03, ((1, 0.7), (2, 0.3)), (1, 4), treated=0.8),
    EventKind("Itching", "瘙痒", "Pruritus", SKIN, 0.03, ((1, 0.8), (2, 0.2)), (1, 4), treated=0.5),
    EventKind(
        "Transient hypotension",
        "一过性低血压",
        "Hypotension",
        VASCULAR,
        0.03,
        ((2, 1.0),),
        (0, 0),
        treated=1.0,
        during=True,
    ),
    EventKind(
        "Chest tightness",
        "胸闷",
        "Non-cardiac chest pain",
        GENERAL,
        0.04,
        ((1, 0.7), (2, 0.3)),
        (0, 0),
        treated=0.6,
        during=True,
    ),
    EventKind(
        "Infusion site reaction",
        "输注部位反应",
        "Injection site reaction",
        GENERAL,
        0.05,
        ((1, 1.0),),
        (1, 3),
        treated=0.1,
    ),
)
"""Events within 24 h of an infusion, related to the cells."""

FOLLOW_UP_KINDS = (
    EventKind("Fatigue", "乏力", "Fatigue", GENERAL, 0.15, ((1, 0.7), (2, 0.3)), (5, 40), treated=0.1, related=0.3),
    EventKind("Nausea", "恶心", "Nausea", GASTRO, 0.10, ((1, 0.8), (2, 0.2)), (1, 6), treated=0.4, related=0.2),
    EventKind("Diarrhoea", "腹泻", "Diarrhea", GASTRO, 0.10, ((1, 0.8), (2, 0.2)), (1, 6), treated=0.5),
    EventKind(
        "Abdominal distension",
        "腹胀",
        "Abdominal distension",
        GASTRO,
        0.10,
        ((1, 0.6), (2, 0.4)),
        (5, 30),
        treated=0.5,
    ),
    EventKind(
        "Ascites aggravated",
        "腹水加重",
        "Ascites",
        GASTRO,
        0.16,
        ((2, 0.6), (3, 0.4)),
        (8, 45),
        serious_from=3,
        treated=1.0,
    ),
    EventKind(
        "Hepatic encephalopathy",
        "肝性脑病",
        "Encephalopathy",
        NERVOUS,
        0.12,
        ((1, 0.3), (2, 0.5), (3, 0.2)),
        (2, 12),
        serious_from=3,
        treated=1.0,
    ),
    EventKind(
        "Oesophageal variceal bleeding",
        "食管静脉曲张破裂出血",
        "Esophageal varices hemorrhage",
        GASTRO,
        0.08,
        ((3, 0.8), (4, 0.2)),
        (4, 12),
        serious_from=3,
        treated=1.0,
    ),
    EventKind(
        "Spontaneous bacterial peritonitis",
        "自发性细菌性腹膜炎",
        "Peritoneal infection",
        INFECTIONS,
        0.07,
        ((3, 1.0),),
        (7, 18),
        serious_from=3,
        treated=1.0,
        infection=True,
    ),
    EventKind(
        "Pneumonia",
        "肺部感染",
        "Lung infection",
        INFECTIONS,
        0.08,
        ((2, 0.6), (3, 0.4)),
        (7, 20),
        serious_from=3,
        treated=1.0,
        infection=True,
    ),
    EventKind(
        "Acute kidney injury",
        "急性肾损伤",
        "Acute kidney injury",
        RENAL,
        0.05,
        ((3, 1.0),),
        (8, 25),
        serious_from=3,
        treated=1.0,
    ),
    EventKind(
        "Cholecystitis",
        "胆囊炎",
        "Cholecystitis",
        HEPATOBILIARY,
        0.03,
        ((2, 0.7), (3, 0.3)),
        (6, 16),
        serious_from=3,
        treated=1.0,
        infection=True,
    ),
    EventKind(
        "Portal vein thrombosis",
        "门静脉血栓形成",
        "Portal vein thrombosis",
        HEPATOBILIARY,
        0.04,
        ((2, 1.0),),
        (60, 200),
        treated=0.7,
    ),
)
"""Events of the disease and of life, at any time after the first infusion."""

COVID = EventKind(
    "COVID-19",
    "新型冠状病毒感染",
    "Upper respiratory infection",
    INFECTIONS,
    0.35,
    ((2, 1.0),),
    (5, 12),
    treated=0.7,
    infection=True,
)

BEFORE_FIRST_DOSE = EventKind(
    "Insomnia", "失眠", "Insomnia", "Psychiatric disorders", 0.06, ((1, 1.0),), (2, 6), treated=0.2
)

VARICEAL_BLEEDING = next(kind for kind in FOLLOW_UP_KINDS if kind.ctcae == "Esophageal varices hemorrhage")
PERITONITIS = next(kind for kind in FOLLOW_UP_KINDS if kind.ctcae == "Peritoneal infection")
LIVER_FAILURE = EventKind("Acute-on-chronic liver failure", "慢加急性肝衰竭", "Hepatic failure", HEPATOBILIARY)
LIVER_CANCER = EventKind(
    "Hepatocellular carcinoma",
    "肝细胞癌",
    "Neoplasms benign, malignant and unspecified (incl cysts and polyps) - Other, specify",
    NEOPLASMS,
)
BRAIN_BLEEDING = EventKind("Cerebral haemorrhage", "脑出血", "Intracranial hemorrhage", NERVOUS)

FATAL_KINDS = (
    ("BLEEDING", VARICEAL_BLEEDING),
    ("INFECTION", PERITONITIS),
    ("LIVER-RELATED", LIVER_FAILURE),
    ("LIVER-RELATED", LIVER_FAILURE),
    ("OTHER", LIVER_CANCER),
    ("OTHER", BRAIN_BLEEDING),
)
"""Cause category and fatal event of the six deaths of a block."""

INFUSION_REACTION = EventKind("Infusion related reaction", "输注相关反应", "Infusion related reaction", INJURY)
ALT_INCREASED = EventKind(
    "Alanine aminotransferase increased",
    "丙氨酸氨基转移酶升高",
    "Alanine aminotransferase increased",
    INVESTIGATIONS,
)

LAB_KINDS = {
    "NA": EventKind("Hyponatraemia", "低钠血症", "Hyponatremia", METABOLISM),
    "PLT": EventKind("Platelet count decreased", "血小板计数降低", "Platelet count decreased", INVESTIGATIONS),
    "TBIL": EventKind("Blood bilirubin increased", "血胆红素升高", "Blood bilirubin increased", INVESTIGATIONS),
    "ALT": ALT_INCREASED,
    "AST": EventKind(
        "Aspartate aminotransferase increased",
        "天门冬氨酸氨基转移酶升高",
        "Aspartate aminotransferase increased",
        INVESTIGATIONS,
    ),
    "GGT": EventKind("Gamma-glutamyltransferase increased", "γ-谷氨酰转肽酶升高", "GGT increased", INVESTIGATIONS),
    "CREA": EventKind("Blood creatinine increased", "血肌酐升高", "Creatinine increased", INVESTIGATIONS),
    "INR": EventKind("INR increased", "国际标准化比值升高", "INR increased", INVESTIGATIONS),
    "WBC": EventKind(
        "White blood cell count decreased", "白细胞计数降低", "White blood cell decreased", INVESTIGATIONS
    ),
    "NEUT#": EventKind(
        "Neutrophil count decreased", "中性粒细胞计数降低", "Neutrophil count decreased", INVESTIGATIONS
    ),
    "LYM#": EventKind("Lymphocyte count decreased", "淋巴细胞计数降低", "Lymphocyte count decreased", INVESTIGATIONS),
    "HGB": EventKind("Anaemia", "贫血", "Anemia", BLOOD),
}
"""Item code to the event a worsened result must be reported as."""
