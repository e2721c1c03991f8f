"""Writing a define as Define-XML 2.1, with analysis results as its extension ARM 1.0: equal content, equal bytes."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from transforms.submission.define.model import (
    AnalysisResult,
    Codelist,
    Comment,
    Define,
    Group,
    Item,
    Label,
    Origin,
    Term,
    Where,
)

ODM = "http://www.cdisc.org/ns/odm/v1.3"
DEF = "http://www.cdisc.org/ns/def/v2.1"
ARM = "http://www.cdisc.org/ns/arm/v1.0"
XLINK = "http://www.w3.org/1999/xlink"
XML = "http://www.w3.org/XML/1998/namespace"
SPACES = {"": ODM, "def": DEF, "arm": ARM}
DEFINE_VERSION = "2.1.0"
STYLESHEET = "define.xsl"
NCI = "nci:ExtCodeID"
LABEL = "COM.MDV"
TITLES = {"sdtm": "Data Definitions for SDTM", "adam": "Data Definitions for ADaM"}


def to_xml(define: Define) -> bytes:
    """The document as UTF-8 bytes. Equal defines give equal bytes."""
    names: dict[str | None, str] = {None: ODM, "def": DEF, "xlink": XLINK, **({"arm": ARM} if define.displays else {})}
    root = etree.Element(f"{{{ODM}}}ODM", nsmap=names)  # type: ignore[arg-type]
    described = {
        "FileType": "Snapshot",
        "FileOID": f"{define.studyid}.{define.kind}.{define.snapshot}",
        "ODMVersion": "1.3.2",
        "CreationDateTime": define.created,
        "Originator": define.studyid,
        "SourceSystem": "Cairn",
        f"{{{DEF}}}Context": "Submission",
    }
    for name, value in described.items():
        root.set(name, value)
    study = _add(root, "Study", OID=f"STDY.{define.studyid}")
    variables = _add(study, "GlobalVariables")
    _add(variables, "StudyName").text = define.studyid
    _add(variables, "StudyDescription").text = define.title
    _add(variables, "ProtocolName").text = define.studyid
    title = f"{TITLES[define.kind]}, study {define.studyid}"
    version = _add(study, "MetaDataVersion", OID=f"MDV.{define.studyid}.{define.kind}", Name=title, Description=title)
    version.set(f"{{{DEF}}}DefineVersion", DEFINE_VERSION)
    _Writer(define).write(version)
    tree = etree.ElementTree(root)
    root.addprevious(etree.ProcessingInstruction("xml-stylesheet", f'type="text/xsl" href="{STYLESHEET}"'))
    written: bytes = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return written


def _add(parent: etree._Element, name: str, **attributes: str | None) -> etree._Element:
    """A child; `def_Name` is the attribute Name of the Define-XML namespace, None leaves an attribute out."""
    prefix, _, local = name.rpartition(":")
    child = etree.SubElement(parent, f"{{{SPACES[prefix]}}}{local}")
    for key, value in attributes.items():
        if value is not None:
            child.set(f"{{{DEF}}}{key.removeprefix('def_')}" if key.startswith("def_") else key, value)
    return child


def _yes(value: bool) -> str | None:
    return "Yes" if value else None


class _Writer:
    def __init__(self, define: Define) -> None:
        self.define = define

    def write(self, version: etree._Element) -> None:
        define = self.define
        self._standards(version)
        self._documents(version)
        for values in define.value_lists:
            element = _add(version, "def:ValueListDef", OID=values.oid)
            for number, item in enumerate(values.items, start=1):
                self._reference(element, item, number)
        for where in define.wheres:
            self._where(version, where)
        for group in define.groups:
            self._group(version, group)
        written: dict[str, None] = {}
        for item in (*(one for group in define.groups for one in group.items), *self._value_items()):
            if item.oid not in written:
                written[item.oid] = None
                self._item(version, item)
        for codelist in define.codelists:
            self._codelist(version, codelist)
        for method in define.methods:
            element = _add(version, "MethodDef", OID=method.oid, Name=method.name, Type=method.type)
            self._description(element, Label(method.text))
        if define.label:
            version.set(f"{{{DEF}}}CommentOID", LABEL)
        for comment in (*((Comment(LABEL, define.label),) if define.label else ()), *define.comments):
            element = _add(version, "def:CommentDef", OID=comment.oid)
            self._description(element, Label(comment.text))
        for document in define.documents:
            self._leaf(version, document.id, document.href, document.title.shown(define.language))
        if define.displays:
            self._displays(version)

    def _value_items(self) -> Iterable[Item]:
        return (item for values in self.define.value_lists for item in values.items)

    def _description(self, parent: etree._Element, label: Label) -> None:
        """The text in the language of the define first: readers of one language take the first."""
        element = _add(parent, "Description")
        texts = {"en": label.en}
        if self.define.language == "zh" and label.zh:
            texts = {"zh": label.zh, "en": label.en}
        for language, text in texts.items():
            translated = _add(element, "TranslatedText")
            translated.set(f"{{{XML}}}lang", language)
            translated.text = text

    def _standards(self, version: etree._Element) -> None:
        element = _add(version, "def:Standards")
        for one in self.define.standards:
            _add(
                element,
                "def:Standard",
                OID=one.oid,
                Name=one.name,
                Type=one.type,
                PublishingSet=one.publishing_set,
                Version=one.version,
                Status=one.status,
            )

    def _documents(self, version: etree._Element) -> None:
        for role, name in (("annotated_crf", "def:AnnotatedCRF"), ("guide", "def:SupplementalDoc")):
            named = [one for one in self.define.documents if one.role == role]
            if named:
                element = _add(version, name)
                for one in named:
                    _add(element, "def:DocumentRef", leafID=one.id)

    def _leaf(self, parent: etree._Element, identifier: str, href: str, title: str) -> None:
        element = _add(parent, "def:leaf", ID=identifier)
        element.set(f"{{{XLINK}}}href", href)
        _add(element, "def:title").text = title

    def _reference(self, parent: etree._Element, item: Item, number: int) -> None:
        element = _add(
            parent,
            "ItemRef",
            ItemOID=item.oid,
            OrderNumber=str(number),
            Mandatory="Yes" if item.mandatory else "No",
            KeySequence=str(item.key) if item.key else None,
            MethodOID=item.method,
            Role=item.role,
            def_IsNonStandard=_yes(item.non_standard),
            def_HasNoData=_yes(item.no_data),
        )
        if item.where:
            _add(element, "def:WhereClauseRef", WhereClauseOID=item.where)

    def _where(self, version: etree._Element, where: Where) -> None:
        element = _add(version, "def:WhereClauseDef", OID=where.oid)
        for check in where.checks:
            said = _add(element, "RangeCheck", SoftHard="Soft", def_ItemOID=check.item, Comparator=check.comparator)
            for value in check.values:
                _add(said, "CheckValue").text = value

    def _group(self, version: etree._Element, group: Group) -> None:
        element = _add(
            version,
            "ItemGroupDef",
            OID=group.oid,
            Name=group.name,
            Repeating="Yes" if group.repeating else "No",
            IsReferenceData="Yes" if group.reference else "No",
            SASDatasetName=group.name,
            Domain=group.domain,
            Purpose="Tabulation" if self.define.kind == "sdtm" else "Analysis",
            def_Structure=group.structure,
            def_StandardOID=group.standard,
            def_ArchiveLocationID=group.leaf,
            def_HasNoData=_yes(group.rows == 0),
            def_CommentOID=group.comment,
        )
        self._description(element, group.label)
        for number, item in enumerate(group.items, start=1):
            self._reference(element, item, number)
        named = _add(element, "def:Class", Name=group.observation_class)
        if group.subclass:
            _add(named, "def:SubClass", Name=group.subclass)
        self._leaf(element, group.leaf, group.file, group.file)

    def _item(self, version: etree._Element, item: Item) -> None:
        element = _add(
            version,
            "ItemDef",
            OID=item.oid,
            Name=item.name,
            DataType=item.type,
            Length=str(item.length) if item.length is not None else None,
            SignificantDigits=str(item.digits) if item.digits is not None else None,
            SASFieldName=item.name,
            def_DisplayFormat=item.format,
            def_CommentOID=item.comment,
        )
        self._description(element, item.label)
        if item.codelist:
            _add(element, "CodeListRef", CodeListOID=item.codelist)
        for origin in item.origins:
            self._origin(element, item, origin)
        if item.values:
            _add(element, "def:ValueListRef", ValueListOID=item.values)

    def _origin(self, parent: etree._Element, item: Item, origin: Origin) -> None:
        element = _add(parent, "def:Origin", Type=origin.type, Source=origin.source)
        if origin.predecessor:
            described = _add(_add(element, "Description"), "TranslatedText")
            described.set(f"{{{XML}}}lang", "en")
            described.text = origin.predecessor
        name = item.oid.removeprefix("IT.")
        pages = self.define.pages.get(name) or self.define.pages.get(".".join(name.split(".")[:2]), ())
        if origin.type == "Collected" and origin.source in ("Investigator", "Subject") and pages:
            for document in self.define.documents:
                if document.role == "annotated_crf":
                    named = _add(element, "def:DocumentRef", leafID=document.id)
                    _add(named, "def:PDFPageRef", PageRefs=" ".join(map(str, pages)), Type="PhysicalRef")

    def _codelist(self, version: etree._Element, codelist: Codelist) -> None:
        element = _add(
            version,
            "CodeList",
            OID=codelist.oid,
            Name=codelist.name,
            DataType=codelist.type,
            def_StandardOID=codelist.standard,
        )
        if codelist.comment:
            self._description(element, Label(codelist.comment))
        if codelist.dictionary:
            _add(element, "ExternalCodeList", Dictionary=codelist.dictionary, Version=codelist.version)
        decoded = all(term.decode for term in codelist.terms)
        for number, term in enumerate(codelist.terms, start=1):
            self._term(element, term, number, decoded)
        if codelist.concept:
            _add(element, "Alias", Context=NCI, Name=codelist.concept)

    def _term(self, parent: etree._Element, term: Term, number: int, decoded: bool) -> None:
        element = _add(
            parent,
            "CodeListItem" if decoded else "EnumeratedItem",
            CodedValue=term.value,
            OrderNumber=str(number),
            def_ExtendedValue=_yes(term.extended),
        )
        if decoded:
            text = _add(_add(element, "Decode"), "TranslatedText")
            text.set(f"{{{XML}}}lang", "en")
            text.text = term.decode
        if term.concept:
            _add(element, "Alias", Context=NCI, Name=term.concept)

    def _displays(self, version: etree._Element) -> None:
        element = _add(version, "arm:AnalysisResultDisplays")
        for display in self.define.displays:
            shown = _add(element, "arm:ResultDisplay", OID=display.oid, Name=display.name)
            self._description(shown, Label(display.title))
            if display.document:
                _add(shown, "def:DocumentRef", leafID=display.document)
            for result in display.results:
                self._result(shown, result)

    def _result(self, parent: etree._Element, result: AnalysisResult) -> None:
        element = _add(
            parent,
            "arm:AnalysisResult",
            OID=result.oid,
            ParameterOID=result.parameter,
            AnalysisReason=result.reason,
            AnalysisPurpose=result.purpose,
        )
        self._description(element, Label(result.description))
        datasets = _add(element, "arm:AnalysisDatasets")
        for one in result.datasets:
            dataset = _add(datasets, "arm:AnalysisDataset", ItemGroupOID=f"IG.{one.name}")
            if one.where:
                _add(dataset, "def:WhereClauseRef", WhereClauseOID=one.where)
            for variable in one.variables:
                _add(dataset, "arm:AnalysisVariable", ItemOID=f"IT.{one.name}.{variable}")
        self._description(_add(element, "arm:Documentation"), Label(result.documentation))
        if result.code:
            code = _add(element, "arm:ProgrammingCode", Context=result.context)
            _add(code, "arm:Code").text = result.code
