"""Rules of our own for the codelists, the value-level metadata and the analysis results of a define.xml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from transforms.standards.models import Codelist
from transforms.submission.define.document import DefineFault, Document
from transforms.submission.define.rules import problem, rule
from transforms.submission.define.xml_file import ARM, DEF

NUMBERS = frozenset({"integer", "float"})
TERM_RULES = ("term_not_allowed", "concept_wrong")


@rule
def codelist_type(document: Document) -> Iterator[DefineFault]:
    """A variable and its codelist are of one type."""
    for item in document.items.values():
        codelist = document.codelist_of(item)
        if codelist is not None and codelist.get("DataType") != item.get("DataType"):
            yield problem(codelist_type, item, f"{item.get('DataType')} with a codelist of {codelist.get('DataType')}")


@rule
def codelist_terms(document: Document) -> Iterator[DefineFault]:
    """A codelist has terms, or a dictionary; each term stands once, and all have a decode or none."""
    for codelist in document.codelists.values():
        terms = document.terms(codelist)
        external = document.find("odm:ExternalCodeList", codelist)
        if bool(terms) == bool(external):
            yield problem(codelist_terms, codelist, "has neither terms nor a dictionary, or both")
        again = [term for term, count in Counter(one.get("CodedValue") for one in terms).items() if count > 1]
        if again:
            yield problem(codelist_terms, codelist, f"{', '.join(map(str, again))} stands twice")
        for one in document.find("odm:CodeListItem", codelist):
            if not (document.text(one, "odm:Decode") or "").strip():
                yield problem(codelist_terms, codelist, f"{one.get('CodedValue')} has no decode")
        numbers = sorted(int(one.get("OrderNumber") or 0) for one in terms)
        if numbers != list(range(1, len(terms) + 1)):
            yield problem(codelist_terms, codelist, "the numbers of its terms are not 1, 2, 3")


@rule
def value_list_variable(document: Document) -> Iterator[DefineFault]:
    """What a value list describes is the variable that refers to it, each value under one where clause of its own."""
    for item in document.items.values():
        for reference in document.find("def:ValueListRef", item):
            values = document.value_lists.get(reference.get("ValueListOID", ""))
            if values is None:
                continue
            clauses = []
            for one in document.references(values):
                own = document.items.get(one.get("ItemOID", ""))
                found = [clause.get("WhereClauseOID") for clause in document.find("def:WhereClauseRef", one)]
                clauses += found
                if not found:
                    yield problem(value_list_variable, one, "stands under no where clause")
                if own is not None and own.get("Name") != item.get("Name"):
                    yield problem(value_list_variable, one, f"describes {own.get('Name')}, not {item.get('Name')}")
            again = [clause for clause, count in Counter(clauses).items() if count > 1]
            if again:
                yield problem(value_list_variable, values, f"{', '.join(map(str, again))} stands twice")


@rule
def where_clause_variable(document: Document) -> Iterator[DefineFault]:
    """A where clause asks for variables of the dataset it is used in, and for terms they may have."""
    owner = {
        values.get("ValueListOID", ""): group
        for group in document.groups
        for _, item in document.variables(group)
        for values in document.find("def:ValueListRef", item)
    }
    for oid, values in document.value_lists.items():
        group = owner.get(oid)
        known = {item.get("OID") for _, item in document.variables(group)} if group is not None else set()
        for reference in document.references(values):
            for clause in document.find("def:WhereClauseRef", reference):
                where = document.wheres.get(clause.get("WhereClauseOID", ""))
                for asked, comparator, wanted in document.conditions(where) if where is not None else []:
                    if asked not in known:
                        yield problem(where_clause_variable, reference, f"{asked} is not a variable of the dataset")
                    if comparator not in ("IN", "NOTIN") and len(wanted) != 1:
                        yield problem(where_clause_variable, reference, f"{comparator} with {len(wanted)} values")


@rule
def where_clause_term(document: Document) -> Iterator[DefineFault]:
    """A value that a where clause asks for is in the codelist of the variable asked."""
    for where in document.wheres.values():
        for asked, _, wanted in document.conditions(where):
            item = document.items.get(asked)
            codelist = document.codelist_of(item) if item is not None else None
            if codelist is None or document.find("odm:ExternalCodeList", codelist):
                continue
            terms = {one.get("CodedValue") for one in document.terms(codelist)}
            for value in wanted:
                if value not in terms:
                    yield problem(where_clause_term, where, f"{value} is not a term of {codelist.get('OID')}")


@rule
def analysis_result(document: Document) -> Iterator[DefineFault]:
    """An analysis result names datasets and variables of this define, each variable of the dataset it stands under."""
    variables = {
        group.get("OID"): {item.get("OID") for _, item in document.variables(group)} for group in document.groups
    }
    for result in document.find(".//arm:AnalysisResult"):
        datasets = document.find("arm:AnalysisDatasets/arm:AnalysisDataset", result)
        if not datasets:
            yield problem(analysis_result, result, "is of no dataset")
        own = [known for one in datasets for known in variables.get(one.get("ItemGroupOID"), set())]
        for one in datasets:
            known = variables.get(one.get("ItemGroupOID"))
            if known is None:
                yield problem(analysis_result, result, f"{one.get('ItemGroupOID')} is not in this define")
            for variable in document.find("arm:AnalysisVariable", one):
                if known is not None and variable.get("ItemOID") not in known:
                    yield problem(analysis_result, result, f"{variable.get('ItemOID')} is not of that dataset")
        parameter = result.get("ParameterOID")
        if parameter is not None and parameter not in own:
            yield problem(analysis_result, result, f"{parameter} is not a variable of its datasets")
    if not document.is_analysis and document.find(".//arm:AnalysisResultDisplays"):
        yield DefineFault("analysis_result", f"{{{ARM}}}AnalysisResultDisplays", "stands in a define of tabulations")


def terminology_problems(
    document: Document, published: Mapping[str, Codelist], extensions: Mapping[str, frozenset[str]]
) -> Iterator[DefineFault]:
    """Where codelists and the published terminology differ, by TERM_RULES.

    A term is published, or flagged as extended and declared; an extended one is not published; a C-code is that of the
    term. A list of several published ones is checked by its terms' C-codes.
    """
    concepts = {code: term for one in published.values() for term, code in one.concepts.items()}
    for codelist in document.codelists.values():
        code = document.concept(codelist)
        terms = document.terms(codelist)
        if code is None:
            for term in terms:
                own = document.concept(term)
                if own is not None and own not in concepts:
                    yield DefineFault("concept_wrong", _place(codelist, term), f"no published term has {own}")
            continue
        known = published.get(code)
        if known is None:
            yield DefineFault("concept_wrong", str(codelist.get("OID")), f"{code} is no codelist at hand")
            continue
        for term in terms:
            value, extended = term.get("CodedValue", ""), term.get(f"{{{DEF}}}ExtendedValue") == "Yes"
            own = document.concept(term)
            if value in known.terms:
                if extended:
                    yield DefineFault("term_not_allowed", _place(codelist, term), "is published, not extended")
                if own != known.concepts.get(value):
                    yield DefineFault(
                        "concept_wrong", _place(codelist, term), f"{own}, published {known.concepts.get(value)}"
                    )
            elif not extended:
                yield DefineFault("term_not_allowed", _place(codelist, term), f"is no term of {code}, and not flagged")
            elif not known.extensible or value not in extensions.get(code, frozenset()):
                yield DefineFault("term_not_allowed", _place(codelist, term), f"{code} is not extended by it")


def _place(codelist: object, term: object) -> str:
    return f"CodeList {codelist.get('OID')} {term.get('CodedValue')}"  # type: ignore[attr-defined]
