"""The EDC forms as CDISC ODM-XML 1.3.2: a Snapshot, or the Transactions since the extract before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from lxml import etree

from .metadata import (
    CODE_LISTS,
    CODED,
    DATE_FORMATS,
    DAY_TEXT,
    FLOATS,
    INTEGERS,
    ISO_DAY,
    ISO_MINUTE,
    STUDY_OID,
    UNITS,
    iso_value,
)
from .pages import Table
from .protocol import COHORTS, LABEL, SITE, VISIT_BY_NAME, VISITS

NAMESPACE = "http://www.cdisc.org/ns/odm/v1.3"
XML = "http://www.w3.org/XML/1998/namespace"
OFFSET = "+08:00"
"""Asia/Shanghai, the zone of every collected time."""
METADATA_OID = "MDV.1"
LOG_EVENT = "SE.LOG"
STUDY_LEVEL = "STUDY-LEVEL"
"""SubjectKey of records that concern no subject (decisions on dose groups, certificates)."""
USER, LOCATION = "USER.ENTRY", f"LOC.{SITE}"
CLOSING_ITEMS = {
    "AE": ("aetoxgr", "aeendat", "aeongo", "aesdth", "aeout"),
    "SAE": ("saegr", "saeout", "saeendat", "saesdth", "reptype"),
    "CONMED": ("cmendat", "cmongo"),
}
"""Items that change when a page is closed; they carry the audit record of the change."""
TIME_STAMPS = ("entered_ts", "modified_ts")
"""Columns that are audit records in ODM, not items."""

Row = dict[str, str]
Page = tuple[str, Row | None, Row | None]
"""A form's name, its row now and its row before."""


def _named(form: str, column: str) -> str:
    return f"IT.{form}.{column.upper()}"


def event_oid(visit: str) -> str:
    """StudyEventOID of a visit name; forms without a visit belong to the log."""
    return f"SE.{VISIT_BY_NAME[visit].num}" if visit in VISIT_BY_NAME else LOG_EVENT


def odm_bytes(forms: Mapping[str, Table], extracted: datetime) -> tuple[bytes, int]:
    """Return a Snapshot and the number of its ItemGroupData.

    Values are those of the CSV forms, dates in ISO 8601; an empty value has no ItemData. Every row is there, also one
    whose record_id another has, and columns that the forms do not know follow theirs.
    """
    pages: list[Page] = [(form, row, None) for form, table in forms.items() for row in _rows(table)]
    return _document(forms, pages, extracted)


def transactional_bytes(
    forms: Mapping[str, Table], extracted: datetime, prior: tuple[Mapping[str, Table], datetime] | None
) -> tuple[bytes, int]:
    """Return the Transactions since ``prior`` (forms and time of the extract before) and their number.

    Records are inserted, updated (changed items only) or removed; without ``prior`` everything is inserted.
    """
    before = {} if prior is None else prior[0]
    return _document(forms, list(_changed(forms, before)), extracted, (prior and prior[1],))


def file_oid(extracted: datetime) -> str:
    """FileOID of the extract."""
    return f"{STUDY_OID}.{extracted:%Y%m%dT%H%M}"


def _rows(table: Table) -> list[Row]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    child = etree.SubElement(parent, _tag(name), attributes)
    child.text = text
    return child


def _translated(parent: etree._Element, name: str, text: str, language: str = "en") -> None:
    inner = _add(_add(parent, name), "TranslatedText", text)
    inner.set(f"{{{XML}}}lang", language)


def _document(
    forms: Mapping[str, Table], pages: list[Page], extracted: datetime, prior: tuple[datetime | None] | None = None
) -> tuple[bytes, int]:
    """A Snapshot, or with ``prior`` Transactions since that extract (None: since ever)."""
    stamp = f"{extracted.isoformat()}{OFFSET}"
    root = etree.fromstring(f'<ODM xmlns="{NAMESPACE}"/>')
    about = {
        "ODMVersion": "1.3.2",
        "FileType": "Snapshot" if prior is None else "Transactional",
        "FileOID": file_oid(extracted),
        "CreationDateTime": stamp,
        "AsOfDateTime": stamp,
        "Description": LABEL,
    }
    for name, text in about.items():
        root.set(name, text)
    if prior is None:
        root.set("Granularity", "All")
    elif prior[0] is not None:
        root.set("PriorFileOID", file_oid(prior[0]))
    columns = {form: tuple(table.columns) for form, table in forms.items()}
    _study(root, columns)
    _administration(root)
    clinical = _add(root, "ClinicalData", StudyOID=STUDY_OID, MetaDataVersionOID=METADATA_OID)
    for subject, events in _arranged(pages).items():
        element = _add(clinical, "SubjectData", SubjectKey=subject)
        if prior is not None:
            element.set("TransactionType", "Upsert")
        if subject != STUDY_LEVEL:
            _add(element, "SiteRef", LocationOID=LOCATION)
        for event, own in events.items():
            visit = _add(element, "StudyEventData", StudyEventOID=event)
            if prior is not None:
                visit.set("TransactionType", "Upsert")
            for page in own:
                _page(visit, page, columns[page[0]], prior is not None, stamp)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True), len(pages)


def _arranged(pages: list[Page]) -> dict[str, dict[str, list[Page]]]:
    """Pages by subject and event in their order."""
    out: dict[str, dict[str, list[Page]]] = {}
    for page in pages:
        row = page[1] or page[2]
        assert row is not None
        events = out.setdefault(row["subj"] or STUDY_LEVEL, {})
        events.setdefault(event_oid(row["visit"]), []).append(page)
    order = {f"SE.{visit.num}": place for place, visit in enumerate(VISITS)}
    return {
        subject: dict(sorted(events.items(), key=lambda event: order.get(event[0], len(order))))
        for subject, events in sorted(out.items(), key=lambda entry: (len(entry[0]), entry[0]))
    }


def _changed(now: Mapping[str, Table], before: Mapping[str, Table]) -> Iterator[Page]:
    for form, table in now.items():
        old = {row["record_id"]: row for row in _rows(before[form])} if form in before else {}
        rows = {row["record_id"]: row for row in _rows(table)}
        yield from ((form, row, old.get(key)) for key, row in rows.items() if old.get(key) != row)
        yield from ((form, None, row) for key, row in old.items() if key not in rows)


def _page(event: etree._Element, page: Page, columns: tuple[str, ...], transactional: bool, stamp: str) -> None:
    form, row, old = page
    shown = row or old
    assert shown is not None
    record_id = shown["record_id"]
    repeat = record_id.rsplit("-", 1)[-1] if shown["subj"] else record_id.split("-", 1)[-1]
    element = _add(event, "FormData", FormOID=f"F.{form}", FormRepeatKey=repeat.lstrip("0") or repeat)
    group = _add(element, "ItemGroupData", ItemGroupOID=f"IG.{form}")
    if transactional:
        kind = "Insert" if old is None else "Remove" if row is None else "Update"
        element.set("TransactionType", kind if kind != "Update" else "Upsert")
        group.set("TransactionType", kind)
    if row is None:
        _audit(group, stamp, "Removed from the database")
        return
    if old is None:
        _audit(group, f"{row['entered_ts']}{OFFSET}")
    modified = f"{row['modified_ts']}{OFFSET}" if row["modified_ts"] != row["entered_ts"] else ""
    closing = CLOSING_ITEMS.get(form, ("page_status",)) if modified else ()
    for column in columns:
        value = row[column]
        if column in TIME_STAMPS or (value == "" if old is None else value == old[column]):
            continue
        item = _add(group, "ItemData", ItemOID=_named(form, column))
        if value == "":
            item.set("IsNull", "Yes")
        else:
            item.set("Value", iso_value(form, column, value))
        if old is not None:
            item.set("TransactionType", "Upsert" if value else "Update")
        if modified and (column in closing or old is not None):
            _audit(item, modified, "Page updated")
        unit = UNITS.get(form, {}).get(column)
        if unit:
            _add(item, "MeasurementUnitRef", MeasurementUnitOID=f"MU.{unit[0]}")


def _audit(parent: etree._Element, stamp: str, reason: str | None = None) -> None:
    record = _add(parent, "AuditRecord")
    _add(record, "UserRef", UserOID=USER)
    _add(record, "LocationRef", LocationOID=LOCATION)
    _add(record, "DateTimeStamp", stamp)
    if reason:
        _add(record, "ReasonForChange", reason)


def _study(root: etree._Element, forms: Mapping[str, tuple[str, ...]]) -> None:
    study = _add(root, "Study", OID=STUDY_OID)
    names = _add(study, "GlobalVariables")
    _add(names, "StudyName", STUDY_OID)
    _add(names, "StudyDescription", f"UCMSC in decompensated alcoholic cirrhosis, dose escalation. {LABEL}")
    _add(names, "ProtocolName", "2021-001")
    definitions = _add(study, "BasicDefinitions")
    for oid, symbol in sorted({unit for columns in UNITS.values() for unit in columns.values()}):
        _translated(_add(definitions, "MeasurementUnit", OID=f"MU.{oid}", Name=symbol), "Symbol", symbol)
    version = _add(study, "MetaDataVersion", OID=METADATA_OID, Name="Forms of the synthetic extracts")
    _protocol(version, forms)
    for form in forms:
        definition = _add(version, "FormDef", OID=f"F.{form}", Name=form, Repeating="Yes")
        _add(definition, "ItemGroupRef", ItemGroupOID=f"IG.{form}", Mandatory="Yes")
    for form, columns in forms.items():
        group = _add(version, "ItemGroupDef", OID=f"IG.{form}", Name=form, Repeating="No")
        for column in _items(columns):
            required = "Yes" if column in ("form_oid", "record_id") else "No"
            _add(group, "ItemRef", ItemOID=_named(form, column), Mandatory=required)
    for form, columns in forms.items():
        for column in _items(columns):
            _item(version, form, column)
    for name, codes in CODE_LISTS.items():
        listed = _add(version, "CodeList", OID=f"CL.{name}", Name=name, DataType="text")
        for code, decode in codes.items():
            _translated(_add(listed, "CodeListItem", CodedValue=code), "Decode", decode)


def _protocol(version: etree._Element, forms: Mapping[str, tuple[str, ...]]) -> None:
    protocol = _add(version, "Protocol")
    for order, oid in enumerate([*(f"SE.{visit.num}" for visit in VISITS), LOG_EVENT], start=1):
        _add(protocol, "StudyEventRef", StudyEventOID=oid, OrderNumber=str(order), Mandatory="No")
    events = [(f"SE.{visit.num}", visit.name, "Scheduled") for visit in VISITS]
    for oid, name, kind in [*events, (LOG_EVENT, "LOG", "Common")]:
        event = _add(version, "StudyEventDef", OID=oid, Name=name, Repeating="No", Type=kind)
        for form in forms:
            _add(event, "FormRef", FormOID=f"F.{form}", Mandatory="No")


def _items(columns: tuple[str, ...]) -> list[str]:
    return [column for column in columns if column not in TIME_STAMPS]


def _item(version: etree._Element, form: str, column: str) -> None:
    kind, length = _data_type(form, column)
    attributes = {"OID": _named(form, column), "Name": column, "DataType": kind}
    if length:
        attributes["Length"] = length
    if kind == "float":
        attributes["SignificantDigits"] = "2"
    item = _add(version, "ItemDef", **attributes)
    unit = UNITS.get(form, {}).get(column)
    if unit:
        _add(item, "MeasurementUnitRef", MeasurementUnitOID=f"MU.{unit[0]}")
    codes = "PAGE_STATUS" if column == "page_status" else CODED.get(form, {}).get(column)
    codes = "NY" if column == "deleted_flag" else codes
    if codes:
        _add(item, "CodeListRef", CodeListOID=f"CL.{codes}")


def _data_type(form: str, column: str) -> tuple[str, str]:
    """DataType and Length. Partial types where a value may stop early."""
    how = DATE_FORMATS.get(form, {}).get(column)
    if how in (DAY_TEXT, ISO_DAY):
        return "date", ""
    if how == ISO_MINUTE:
        return "partialDatetime", ""
    if how is not None:
        return ("partialTime" if how == "HH:MM" else "partialDate"), ""
    if column in INTEGERS.get(form, ()):
        return "integer", "10"
    if column in FLOATS.get(form, ()):
        return "float", "10"
    return "text", "200"


def _administration(root: etree._Element) -> None:
    admin = _add(root, "AdminData", StudyOID=STUDY_OID)
    user = _add(admin, "User", OID=USER, UserType="Other")
    _add(user, "FullName", f"Data entry. {LABEL}")
    place = _add(admin, "Location", OID=LOCATION, Name=f"Site {SITE}", LocationType="Site")
    _add(
        place,
        "MetaDataVersionRef",
        StudyOID=STUDY_OID,
        MetaDataVersionOID=METADATA_OID,
        EffectiveDate=COHORTS[0].opened.isoformat(),
    )
