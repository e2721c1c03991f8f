"""The pilot's analysis datasets against counts of the published pilot data and tables of the published study report.

Outside sources: the published pilot data (SDTM and ADaM of CDISCPILOT01), whose records, flags and values were counted
there and not in Cairn; and the study report published with them (tables 14-1.01, 14-2.01 and 14-3.01). Where a rule
has no published count, a second route computes it here from SDTM in plain pandas, written without Cairn's algorithms.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from transforms.study import Study
from transforms.trace import Tracer

ARMS = ["Placebo", "Xanomeline Low Dose", "Xanomeline High Dose"]
SCHEDULED = [1, 4, 5, 7, 8, 9, 10, 11, 12, 13]
TREATMENT = [4, 5, 7, 8, 9, 10, 11, 12]


def results(adlb: pd.DataFrame) -> pd.DataFrame:
    """Chemistry and haematology as measured."""
    return adlb[adlb["PARCAT1"].isin(["CHEM", "HEMA"]) & ~adlb["PARAMCD"].str.startswith("_")]


def by_arm(frame: pd.DataFrame, arm: str = "TRT01P") -> list[int]:
    return frame.groupby(arm).size().reindex(ARMS, fill_value=0).tolist()


class TestAdsl:
    def test_populations_are_those_of_the_study_report(self, data: dict[str, pd.DataFrame]) -> None:
        """Table 14-1.01."""
        adsl = data["ADSL"]
        assert len(adsl) == 254
        assert by_arm(adsl[adsl["ITTFL"] == "Y"]) == [86, 84, 84]
        assert by_arm(adsl[adsl["SAFFL"] == "Y"]) == [86, 84, 84]
        assert by_arm(adsl[adsl["EFFFL"] == "Y"]) == [79, 81, 74]
        assert by_arm(adsl[adsl["COMP24FL"] == "Y"]) == [60, 28, 30]
        assert by_arm(adsl[adsl["DISCONFL"].isna()]) == [58, 25, 27]
        assert adsl["SITEGR1"].nunique() == 11

    @pytest.mark.parametrize(
        ("name", "means", "deviations"),
        [
            ("AGE", [75.2, 75.7, 74.4], [8.59, 8.29, 7.89]),
            ("MMSETOT", [18.0, 17.9, 18.5], [4.27, 4.22, 4.16]),
            ("WEIGHTBL", [62.8, 67.3, 70.0], [12.77, 14.12, 14.65]),
            ("HEIGHTBL", [162.6, 163.4, 165.8], [11.52, 10.42, 10.13]),
            ("BMIBL", [23.6, 25.1, 25.3], [3.67, 4.27, 4.16]),
        ],
    )
    def test_demography_is_that_of_the_study_report(
        self, data: dict[str, pd.DataFrame], name: str, means: list[float], deviations: list[float]
    ) -> None:
        """Table 14-2.01; its means have one decimal, its standard deviations two."""
        found = data["ADSL"].groupby("TRT01P")[name].agg(["mean", "std"]).reindex(ARMS)
        assert found["mean"].tolist() == pytest.approx(means, abs=0.0501)
        assert found["std"].tolist() == pytest.approx(deviations, abs=0.00501)

    def test_what_the_extracts_lack_is_absent_and_nothing_else(self, data: dict[str, pd.DataFrame]) -> None:
        assert not {"EDUCLVL", "DISONSDT", "DURDIS", "DURDSGR1"} & {*data["ADSL"].columns}
        missing = data["ADSL"].isna().sum()
        assert missing[missing > 0].drop(["DISCONFL", "DSRAEFL", "DTHFL", "DCSREAS"]).to_dict() == {
            "WEIGHTBL": 1,
            "BMIBL": 1,
        }


class TestAdae:
    def test_treatment_emergent_events(self, data: dict[str, pd.DataFrame]) -> None:
        """1,120 by date; of the 15 without any date the study's rule takes those that ended after first treatment."""
        adae = data["ADAE"]
        assert len(adae) == 1191
        dated = adae["ASTDT"].notna()
        assert adae.loc[dated, "TRTEMFL"].value_counts().to_dict() == {"Y": 1120, "N": 45}
        assert int(adae["AESTDTC"].isna().sum()) == 15
        assert adae.loc[adae["AESTDTC"].isna(), "TRTEMFL"].value_counts().to_dict() == {"N": 11, "Y": 4}
        assert adae.loc[adae["AESTDTC"].str.len() == 4, "TRTEMFL"].tolist() == ["N"] * 11

    def test_dermatologic_events(self, data: dict[str, pd.DataFrame]) -> None:
        derm = data["ADAE"].dropna(subset="CQ01NAM")
        assert (len(derm), derm["AEDECOD"].nunique(), derm["AEBODSYS"].nunique()) == (493, 35, 3)
        word = derm["AEDECOD"].str.contains("APPLICATION|ERYTHEMA|DERMATITIS|BLISTER")
        assert (int(word.sum()), int((~word).sum())) == (312, 181)
        counts = [int(derm["AEDECOD"].str.contains(one).sum()) for one in ("APPLICATION", "ERYTHEMA", "DERMATITIS")]
        assert counts == [236, 109, 39]
        skin = data["ADAE"]["AEBODSYS"] == "SKIN AND SUBCUTANEOUS TISSUE DISORDERS"
        excluded = data["ADAE"][skin & data["ADAE"]["CQ01NAM"].isna()]
        assert (len(excluded), excluded["AEDECOD"].nunique()) == (21, 3)

    @pytest.mark.parametrize(
        ("flag", "by", "only"),
        [
            ("AOCCFL", [], []),
            ("AOCCSFL", ["AEBODSYS"], []),
            ("AOCCPFL", ["AEBODSYS", "AEDECOD"], []),
            ("AOCC02FL", [], ["AESER"]),
            ("AOCC03FL", ["AEBODSYS"], ["AESER"]),
            ("AOCC04FL", ["AEBODSYS", "AEDECOD"], ["AESER"]),
            ("AOCC01FL", [], ["CQ01NAM"]),
        ],
    )
    def test_first_occurrences(self, data: dict[str, pd.DataFrame], flag: str, by: list[str], only: list[str]) -> None:
        adae = data["ADAE"]
        kept = (adae["TRTEMFL"] == "Y") & np.all([adae[one].notna() & (adae[one] != "N") for one in only], axis=0)
        ordered = adae[kept].sort_values(["ASTDT", "AESEQ"])
        first = set(ordered.groupby(["USUBJID", *by]).head(1).index)
        assert set(adae.index[adae[flag] == "Y"]) == first


class TestAdlb:
    def test_record_counts_are_the_published_ones(self, data: dict[str, pd.DataFrame]) -> None:
        adlb = data["ADLB"]
        found = results(adlb)
        ended = found["AVISITN"] == 99
        assert found[~ended].groupby("PARCAT1").size().to_dict() == {"CHEM": 32_704, "HEMA": 21_871}
        assert found[ended].groupby("PARCAT1").size().to_dict() == {"CHEM": 4428, "HEMA": 3095}
        change = adlb[adlb["PARAMCD"].str.startswith("_")]
        assert change.groupby("PARCAT1").size().to_dict() == {"CHEM": 37_132, "HEMA": 24_966}
        assert (change.groupby(change["PARAMCD"].str[1:])["PARAMN"].first() - 100).to_dict() == found.groupby(
            "PARAMCD"
        )["PARAMN"].first().to_dict()

    def test_limits_and_indicators(self, data: dict[str, pd.DataFrame]) -> None:
        found = results(data["ADLB"])
        cells = found["PARAMCD"].isin(["BASO", "EOS"]) & (found["AVISITN"] != 99)
        assert int((cells & found["A1LO"].isna()).sum()) == 3608
        morphology = found[found["PARAMCD"].isin(["ANISO", "MACROCY", "MICROCY", "POIKILO", "POLYCHR"])]
        assert int((morphology["ANRIND"] == "H").sum()) == 427
        assert len(morphology) == 427

    def test_a_censored_result_has_no_value_and_counts_as_a_record(self, data: dict[str, pd.DataFrame]) -> None:
        found = results(data["ADLB"])
        none = found[found["AVAL"].isna() & (found["AVISITN"] != 99)]
        assert none["PARAMCD"].value_counts().to_dict() == {"BILI": 5, "GLUC": 1}

    def test_numbers_behind_the_table_of_means(self, data: dict[str, pd.DataFrame]) -> None:
        """Table 14-6.01 has a row for each of 30 parameters and 11 visits, for each planned arm: 990 cells of N.

        In 983 of them all records are numeric: seven cells count a censored result.
        """
        found = results(data["ADLB"])
        tabled = found[(found["A1HI"].notna()) & found["AVISITN"].notna()]
        cells = tabled.groupby(["TRTP", "PARAMCD", "AVISITN"])["AVAL"].agg(["size", "count"])
        assert len(cells) == 990
        assert int((cells["size"] == cells["count"]).sum()) == 983

    def test_second_route(self, data: dict[str, pd.DataFrame]) -> None:
        """Baseline, change, distance from the range, and the analysis and end-of-treatment flags, from LB."""
        lb = data["LB"]
        kept = lb["LBCAT"].isin(["CHEMISTRY", "HEMATOLOGY"]) & ~lb["VISITNUM"].isin([3, 6, 201])
        lb = lb[kept & lb["USUBJID"].isin(data["ADSL"]["USUBJID"])].sort_values(["USUBJID", "LBTESTCD", "VISITNUM"])
        keys = ["USUBJID", "LBTESTCD"]
        base = lb[lb["VISITNUM"] == 1].set_index(keys)["LBSTRESN"]
        lb["BASE"] = pd.MultiIndex.from_frame(lb[keys]).map(base.to_dict())
        lb["CHG"] = (lb["LBSTRESN"] - lb["BASE"]).where(lb["VISITNUM"] != 1)
        lb["margin"] = np.fmax(1.5 * lb["LBSTNRHI"] - lb["LBSTRESN"], lb["LBSTRESN"] - 0.5 * lb["LBSTNRLO"])
        treated = lb[lb["VISITNUM"].isin(TREATMENT)]
        furthest = treated.dropna(subset="margin").sort_values(
            [*keys, "margin"], ascending=[True, True, False], kind="stable"
        )
        lb["ANL01FL"] = np.where(lb.index.isin(furthest.groupby(keys).head(1).index), "Y", None)
        lb["AENTMTFL"] = np.where(lb.index.isin(treated.groupby(keys).tail(1).index), "Y", None)
        scheduled = lb[lb["VISITNUM"].isin(SCHEDULED)].copy()
        before = scheduled.groupby(keys)["LBSTRESN"].shift()
        half = 0.5 * (scheduled["LBSTNRHI"] - scheduled["LBSTNRLO"].fillna(0))
        ratio = (scheduled["LBSTRESN"] - before) / half
        lb["ratio"] = np.sign(ratio) * np.floor(np.round(np.abs(ratio) * 10, 8) + 0.5) / 10

        adlb = data["ADLB"]
        ours = results(adlb)
        both = ours[ours["AVISITN"] != 99].merge(lb, on=["USUBJID", "LBSEQ"], suffixes=("", "_lb"), how="outer")
        assert len(both) == len(lb)
        assert both["AVAL"].equals(both["LBSTRESN_lb"])
        for name in ("BASE", "CHG"):
            assert np.allclose(both[name], both[f"{name}_lb"], equal_nan=True, atol=1e-12)
        assert np.allclose(both["ALBTRVAL"], both["margin"], equal_nan=True)
        for name in ("ANL01FL", "AENTMTFL"):
            assert (both[name].fillna("") == both[f"{name}_lb"].fillna("")).all()
        change = adlb[adlb["PARAMCD"].str.startswith("_") & (adlb["AVISITN"] != 99)]
        pair = change.merge(lb, on=["USUBJID", "LBSEQ"], suffixes=("", "_lb"), how="outer")
        assert np.allclose(pair["AVAL"], pair["ratio"], equal_nan=True)
        assert pair.loc[pair["AVAL"] > 1, "ANRIND"].eq("H").all()
        assert pair.loc[pair["AVAL"] < -1, "ANRIND"].eq("L").all()

    def test_hys_law(self, data: dict[str, pd.DataFrame]) -> None:
        adlb = data["ADLB"]
        derived = adlb[adlb["PARCAT1"] == "HYLAW"]
        assert derived.groupby("PARAMCD").size().to_dict() == {"BILIHY": 1659, "HYLAW": 1659, "TRANSHY": 1659}
        assert derived.groupby("PARAMCD")["AVAL"].count().to_dict() == {"BILIHY": 1654, "HYLAW": 1659, "TRANSHY": 1659}
        observed = adlb[adlb["AVISITN"] != 99]
        assert observed.groupby("PARAMCD")["CRIT1"].count()[lambda n: n > 0].to_dict() == {
            "ALT": 1659,
            "AST": 1659,
            "BILI": 1659,
        }
        wide = observed[observed["CRIT1"].notna()].pivot(
            index=["USUBJID", "AVISITN"], columns="PARAMCD", values="R2A1HI"
        )
        law = derived.pivot(index=["USUBJID", "AVISITN"], columns="PARAMCD", values="AVAL").reindex(wide.index)
        transaminase = (wide["ALT"] > 1.5) | (wide["AST"] > 1.5)
        assert (law["TRANSHY"] == transaminase).all()
        assert (law["HYLAW"] == (transaminase & (wide["BILI"] > 1.5))).all()


class TestAdqs:
    def test_record_counts_are_the_published_ones(self, data: dict[str, pd.DataFrame]) -> None:
        adqs = data["ADQS"]
        observed = adqs[adqs["DTYPE"].isna() & (adqs["PARAMCD"] != "NPTOTMN")]
        # 12,222 records of ADAS-Cog stand as observed in the published data, 19 were overwritten there.
        assert observed.groupby("PARCAT1").size().to_dict() == {
            "ADAS-Cog": 12_222 + 19,
            "CIBIC+": 562,
            "NPI-X": 30_672,
        }
        totals = adqs[adqs["PARAMCD"] == "ACTOT"]
        assert len(totals) == 1040
        assert len(totals[totals["DTYPE"].isna()]) == 797 + 21

    def test_every_subject_has_every_visit_of_the_total(self, data: dict[str, pd.DataFrame]) -> None:
        totals = data["ADQS"].query("PARAMCD == 'ACTOT' and ANL01FL == 'Y'")
        assert totals.groupby("AVISIT")["USUBJID"].nunique().to_dict() == dict.fromkeys(
            ["Baseline", "Week 8", "Week 16", "Week 24"], 254
        )
        # 28 carried values differ from that of the last record before the window, which describes the record.
        carried = totals[totals["DTYPE"] == "LOCF"]
        last = data["QS"].set_index(["USUBJID", "QSSEQ"])["QSSTRESN"]
        described = pd.MultiIndex.from_frame(carried[["USUBJID", "QSSEQ"]]).map(last.to_dict()).to_numpy(dtype=float)
        assert int((described != carried["AVAL"].to_numpy()).sum()) == 28
        never = totals[totals["DTYPE"].isna()].groupby("USUBJID").size()
        assert int((never == 1).sum()) == 19

    def test_impressions_are_carried_from_after_baseline_only(self, data: dict[str, pd.DataFrame]) -> None:
        found = data["ADQS"].query("PARAMCD == 'CIBICVAL' and ANL01FL == 'Y'")
        assert found.groupby("AVISITN").size().to_dict() == {8: 233, 16: 236, 24: 236}
        assert found[["BASE", "CHG"]].isna().all().all()

    def test_the_mean_of_npi_totals(self, data: dict[str, pd.DataFrame]) -> None:
        """As published over weeks 6 to 12; the plan's weeks 4 to 24 would cover 235 subjects and agree for 39."""
        adqs = data["ADQS"]
        mean = adqs[(adqs["PARAMCD"] == "NPTOTMN") & (adqs["AVISITN"] == 98)].set_index("USUBJID")
        assert len(mean) == 214
        assert mean["BASE"].notna().all()
        assert mean[["CHG", "PCHG", "ADY"]].isna().all().all()
        assert len(adqs[(adqs["PARAMCD"] == "NPTOTMN") & (adqs["AVISITN"] == 0)]) == 254
        totals = adqs.query("PARAMCD == 'NPTOT' and ANL01FL == 'Y'")
        near = totals[totals["AVISITN"].between(6, 12)].groupby("USUBJID")["AVAL"].mean()
        assert np.allclose(mean["AVAL"], near.reindex(mean.index))
        planned = totals[totals["AVISITN"].between(4, 24)].groupby("USUBJID")["AVAL"].mean()
        assert len(planned) == 235
        assert int(np.isclose(mean["AVAL"], planned.reindex(mean.index)).sum()) == 39

    def test_scores_of_npi_items(self, data: dict[str, pd.DataFrame]) -> None:
        """Frequency times severity, 0 where absent: 27,361 of 28,320; three items are always 0 (959 records)."""
        qs = data["QS"][data["QS"]["QSTESTCD"].str.fullmatch(r"NPITM\d\d[FV]")]
        keys = ["USUBJID", "VISITNUM", "QSDTC"]
        parts = qs.assign(item=qs["QSTESTCD"].str[:7], part=qs["QSTESTCD"].str[7]).pivot(
            index=[*keys, "item"], columns="part", values="QSSTRESN"
        )
        product = (parts["F"] * parts["V"]).to_dict()
        scored = data["ADQS"][data["ADQS"]["PARAMCD"].str.fullmatch(r"NPITM\d\dS")].merge(
            data["QS"][["USUBJID", "QSSEQ", "QSDTC"]], on=["USUBJID", "QSSEQ"]
        )
        index = zip(scored["USUBJID"], scored["VISITNUM"], scored["QSDTC"], scored["PARAMCD"].str[:7], strict=True)
        expected = np.array([product.get(one, 0.0) for one in index])
        differs = scored[scored["AVAL"].to_numpy() != expected]
        assert len(differs) == 959
        assert set(differs["PARAMCD"]) == {"NPITM06S", "NPITM11S", "NPITM12S"}
        assert differs["AVAL"].eq(0).all()

    def test_adas_cog_at_week_24_is_that_of_the_study_report(self, data: dict[str, pd.DataFrame]) -> None:
        """Table 14-3.01: n, mean (SD) of baseline, value and change, in the efficacy population, carried forward."""
        found = data["ADQS"].query("PARAMCD == 'ACTOT' and ANL01FL == 'Y' and AVISITN == 24 and EFFFL == 'Y'")
        table = found.groupby("TRTP")[["BASE", "AVAL", "CHG"]].agg(["count", "mean", "std"]).reindex(ARMS)
        for name, counts, means, deviations in (
            ("BASE", [79, 81, 74], [24.1, 24.4, 21.3], [12.19, 12.92, 11.74]),
            ("AVAL", [79, 81, 74], [26.7, 26.4, 22.8], [13.79, 13.18, 12.48]),
            ("CHG", [79, 81, 74], [2.5, 2.0, 1.5], [5.80, 5.55, 4.26]),
        ):
            assert table[name]["count"].tolist() == counts
            assert table[name]["mean"].tolist() == pytest.approx(means, abs=0.0501)
            assert table[name]["std"].tolist() == pytest.approx(deviations, abs=0.00501)


class TestAdtte:
    def test_time_to_the_first_dermatologic_event(self, data: dict[str, pd.DataFrame]) -> None:
        adtte, adsl, adae = data["ADTTE"], data["ADSL"].set_index("USUBJID"), data["ADAE"]
        assert len(adtte) == 254
        first = adae[adae["AOCC01FL"] == "Y"].set_index("USUBJID")
        expected = first["ASTDT"].reindex(adtte["USUBJID"]).to_numpy()
        event = pd.notna(expected)
        assert (adtte["CNSR"].to_numpy() == np.where(event, 0, 1)).all()
        dates = np.where(event, expected, adsl["RFENDT"].reindex(adtte["USUBJID"]).to_numpy())
        assert (adtte["ADT"].to_numpy() == dates).all()
        days = pd.to_datetime(adtte["ADT"]) - pd.to_datetime(adtte["STARTDT"])
        assert (adtte["AVAL"] == days.dt.days + 1).all()
        assert adtte.loc[event, "SRCSEQ"].tolist() == first["AESEQ"].reindex(adtte["USUBJID"][event]).tolist()


def test_any_analysis_value_leads_to_raw_or_to_the_specification(snapshot: Path) -> None:
    """500 values, stratified by dataset and variable."""
    chance = random.Random(20120706)
    strata = []
    for path in sorted((snapshot / "adam").glob("*.parquet")):
        table = pq.read_table(path)
        strata += [
            (path.stem.upper(), name, table[name]) for name in table.column_names if table[name].null_count < len(table)
        ]
    tracer, raw = Tracer(snapshot), 0
    folder = Study.load("cdiscpilot01").folder
    for number in range(500):
        dataset, variable, column = strata[number % len(strata)]
        records = [row for row, value in enumerate(column.is_valid().to_pylist(), start=1) if value]
        leaves = tracer.trace(dataset, chance.choice(records), variable).all_leaves()
        assert leaves, f"{dataset}.{variable} leads nowhere"
        assert all(leaf.kind == "raw" or (folder / leaf.file).is_file() for leaf in leaves)
        raw += any(leaf.kind == "raw" for leaf in leaves)
    assert raw > 350
