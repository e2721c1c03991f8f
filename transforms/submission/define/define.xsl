<?xml version="1.0" encoding="UTF-8"?>
<!-- Shows a define.xml (Define-XML 2.1, with or without analysis results) as one page, in the language of its labels. -->
<xsl:stylesheet version="1.0"
    xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:odm="http://www.cdisc.org/ns/odm/v1.3"
    xmlns:def="http://www.cdisc.org/ns/def/v2.1"
    xmlns:arm="http://www.cdisc.org/ns/arm/v1.0"
    xmlns:xlink="http://www.w3.org/1999/xlink"
    xmlns:said="urn:said"
    exclude-result-prefixes="odm def arm xlink said">
  <xsl:output method="html" encoding="UTF-8" indent="no" doctype-system="about:legacy-compat"/>

  <said:texts>
    <said:text id="datasets" en="Datasets" zh="数据集"/>
    <said:text id="dataset" en="Dataset" zh="数据集"/>
    <said:text id="description" en="Description" zh="描述"/>
    <said:text id="class" en="Class" zh="类别"/>
    <said:text id="structure" en="Structure" zh="结构"/>
    <said:text id="keys" en="Keys" zh="关键变量"/>
    <said:text id="file" en="File" zh="文件"/>
    <said:text id="purpose" en="Purpose" zh="用途"/>
    <said:text id="standard" en="Standard" zh="标准"/>
    <said:text id="standards" en="Standards" zh="标准"/>
    <said:text id="version" en="Version" zh="版本"/>
    <said:text id="type" en="Type" zh="类型"/>
    <said:text id="variable" en="Variable" zh="变量"/>
    <said:text id="label" en="Label" zh="标签"/>
    <said:text id="key" en="Key" zh="键"/>
    <said:text id="length" en="Length" zh="长度"/>
    <said:text id="terms" en="Controlled terms" zh="受控术语"/>
    <said:text id="origin" en="Origin, method, comment" zh="来源、方法、注释"/>
    <said:text id="where" en="Where" zh="条件"/>
    <said:text id="values" en="Values of" zh="值级元数据："/>
    <said:text id="codelists" en="Codelists" zh="代码表"/>
    <said:text id="term" en="Term" zh="术语"/>
    <said:text id="decode" en="Decode" zh="解码"/>
    <said:text id="code" en="C-code" zh="C代码"/>
    <said:text id="extended" en="added by the sponsor" zh="申办方扩展"/>
    <said:text id="dictionaries" en="Dictionaries" zh="词典"/>
    <said:text id="documents" en="Documents" zh="文档"/>
    <said:text id="results" en="Analysis results" zh="分析结果"/>
    <said:text id="result" en="Result" zh="结果"/>
    <said:text id="reason" en="Reason" zh="原因"/>
    <said:text id="data" en="Data" zh="数据"/>
    <said:text id="documentation" en="Documentation" zh="说明"/>
    <said:text id="code_text" en="Programming code" zh="程序代码"/>
    <said:text id="nodata" en="no data" zh="无数据"/>
    <said:text id="mandatory" en="mandatory" zh="必填"/>
    <said:text id="method" en="Method" zh="方法"/>
    <said:text id="comment" en="Comment" zh="注释"/>
    <said:text id="page" en="CRF page" zh="CRF页码"/>
    <said:text id="asof" en="Data as of" zh="数据截止"/>
    <said:text id="top" en="Top" zh="返回顶部"/>
    <said:text id="valuelevel" en="values" zh="值"/>
  </said:texts>

  <said:signs>
    <said:sign of="EQ">=</said:sign><said:sign of="NE">≠</said:sign><said:sign of="IN">∈</said:sign><said:sign of="NOTIN">∉</said:sign>
    <said:sign of="LT">&lt;</said:sign><said:sign of="LE">≤</said:sign><said:sign of="GT">&gt;</said:sign><said:sign of="GE">≥</said:sign>
  </said:signs>

  <xsl:key name="item" match="odm:ItemDef" use="@OID"/>
  <xsl:key name="codelist" match="odm:CodeList" use="@OID"/>
  <xsl:key name="method" match="odm:MethodDef" use="@OID"/>
  <xsl:key name="comment" match="def:CommentDef" use="@OID"/>
  <xsl:key name="where" match="def:WhereClauseDef" use="@OID"/>
  <xsl:key name="values" match="def:ValueListDef" use="@OID"/>
  <xsl:key name="leaf" match="def:leaf" use="@ID"/>
  <xsl:key name="standard" match="def:Standard" use="@OID"/>
  <xsl:key name="group" match="odm:ItemGroupDef" use="@OID"/>

  <xsl:variable name="version" select="/odm:ODM/odm:Study/odm:MetaDataVersion"/>
  <xsl:variable name="language">
    <xsl:choose>
      <xsl:when test="$version/odm:ItemGroupDef[1]/odm:Description/odm:TranslatedText[1][@xml:lang = 'zh']">zh</xsl:when>
      <xsl:otherwise>en</xsl:otherwise>
    </xsl:choose>
  </xsl:variable>
  <xsl:variable name="texts" select="document('')/xsl:stylesheet/said:texts/said:text"/>

  <xsl:template name="say">
    <xsl:param name="id"/>
    <xsl:value-of select="$texts[@id = $id]/@*[name() = string($language)]"/>
  </xsl:template>

  <xsl:template match="/">
    <html lang="{$language}">
      <head>
        <meta charset="UTF-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <title><xsl:value-of select="$version/@Name"/></title>
        <style>
          :root { --ink: #1d2733; --soft: #5b6875; --line: #d5dbe1; --head: #eef2f5; --link: #0b5394; --mark: #8a3b00; }
          * { box-sizing: border-box; }
          body { margin: 0; color: var(--ink); background: #fff; font: 14px/1.45 "Helvetica Neue", Arial, "Liberation Sans",
                 "Noto Sans CJK SC", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Zen Hei", sans-serif; }
          a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
          nav { position: fixed; top: 0; bottom: 0; left: 0; width: 250px; overflow-y: auto; padding: 18px 16px;
                background: var(--head); border-right: 1px solid var(--line); font-size: 13px; }
          nav b { display: block; margin: 14px 0 4px; } nav b:first-child { margin-top: 0; }
          nav ul { list-style: none; margin: 0; padding: 0; } nav li { padding: 1px 0; }
          nav li span { color: var(--soft); }
          main { margin-left: 250px; padding: 22px 32px 60px; max-width: 1500px; }
          h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 40px 0 10px; padding-bottom: 4px;
               border-bottom: 2px solid var(--ink); } h3 { font-size: 15px; margin: 30px 0 4px; }
          h4 { font-size: 13px; margin: 16px 0 4px; }
          p { margin: 4px 0 8px; } .soft { color: var(--soft); } .mark { color: var(--mark); }
          .other { display: block; color: var(--soft); font-size: 12px; }
          table { border-collapse: collapse; width: 100%; margin: 6px 0 12px; table-layout: fixed; }
          th, td { border: 1px solid var(--line); padding: 4px 7px; text-align: left; vertical-align: top;
                   overflow-wrap: anywhere; }
          th { background: var(--head); font-weight: 600; } tr:target td, h3:target, h4:target { background: #fff6d6; }
          td.number { text-align: right; white-space: nowrap; } .name { font-weight: 600; }
          .label { border: 2px solid var(--ink); padding: 5px 12px; margin: 0 0 16px; font-weight: 700; letter-spacing: .06em;
                   text-align: center; }
          .said { display: block; } .tag { font-size: 11px; color: var(--soft); }
          pre { white-space: pre-wrap; margin: 4px 0; font-size: 12px; }
          .lists { columns: 2; column-gap: 24px; } .list { break-inside: avoid; margin-bottom: 16px; }
          .list h4 { margin-top: 0; } .list.long { break-inside: auto; }
          @media (max-width: 900px) { nav { position: static; width: auto; } main { margin: 0; padding: 16px; }
                                      .lists { columns: 1; } }
          @media print { @page { size: A4 landscape; margin: 11mm; } body { font-size: 9.5px; line-height: 1.35; }
                         nav, .top { display: none; } main { margin: 0; padding: 0; max-width: none; }
                         h1 { font-size: 17px; } h2 { font-size: 14px; break-after: avoid; margin-top: 18px; }
                         h3 { font-size: 12px; break-after: avoid; } h4 { font-size: 10px; break-after: avoid; }
                         thead { display: table-header-group; } tr { break-inside: avoid; } .other { font-size: 8.5px; }
                         th, td { padding: 2px 4px; } .tag { font-size: 8px; } a { color: inherit; } }
        </style>
      </head>
      <body id="top">
        <xsl:call-template name="navigation"/>
        <main>
          <xsl:if test="$version/@def:CommentOID"><p class="label"><xsl:value-of select="key('comment', $version/@def:CommentOID)/odm:Description/odm:TranslatedText[1]"/></p></xsl:if>
          <h1><xsl:value-of select="$version/@Name"/></h1>
          <p><xsl:value-of select="/odm:ODM/odm:Study/odm:GlobalVariables/odm:StudyDescription"/></p>
          <p class="soft">
            <xsl:call-template name="say"><xsl:with-param name="id" select="'asof'"/></xsl:call-template>
            <xsl:text> </xsl:text><xsl:value-of select="substring(/odm:ODM/@CreationDateTime, 1, 10)"/>
            <xsl:text> · Define-XML </xsl:text><xsl:value-of select="$version/@def:DefineVersion"/>
            <xsl:text> · </xsl:text><xsl:value-of select="/odm:ODM/@FileOID"/>
          </p>
          <xsl:call-template name="standards"/>
          <xsl:call-template name="documents"/>
          <xsl:if test="$version/arm:AnalysisResultDisplays"><xsl:call-template name="results"/></xsl:if>
          <xsl:call-template name="datasets"/>
          <xsl:apply-templates select="$version/odm:ItemGroupDef"/>
          <xsl:call-template name="codelists"/>
        </main>
      </body>
    </html>
  </xsl:template>

  <xsl:template name="navigation">
    <nav>
      <b><xsl:value-of select="/odm:ODM/odm:Study/odm:GlobalVariables/odm:StudyName"/></b>
      <ul>
        <li><a href="#standards"><xsl:call-template name="say"><xsl:with-param name="id" select="'standards'"/></xsl:call-template></a></li>
        <li><a href="#documents"><xsl:call-template name="say"><xsl:with-param name="id" select="'documents'"/></xsl:call-template></a></li>
        <xsl:if test="$version/arm:AnalysisResultDisplays">
          <li><a href="#results"><xsl:call-template name="say"><xsl:with-param name="id" select="'results'"/></xsl:call-template></a></li>
        </xsl:if>
        <li><a href="#codelists"><xsl:call-template name="say"><xsl:with-param name="id" select="'codelists'"/></xsl:call-template></a></li>
      </ul>
      <b><a href="#datasets"><xsl:call-template name="say"><xsl:with-param name="id" select="'datasets'"/></xsl:call-template></a></b>
      <ul>
        <xsl:for-each select="$version/odm:ItemGroupDef">
          <li><a href="#{@OID}"><xsl:value-of select="@Name"/></a><xsl:text> </xsl:text>
            <span><xsl:value-of select="odm:Description/odm:TranslatedText[1]"/></span></li>
        </xsl:for-each>
      </ul>
    </nav>
  </xsl:template>

  <xsl:template name="label">
    <xsl:param name="of"/>
    <xsl:value-of select="$of/odm:Description/odm:TranslatedText[1]"/>
    <xsl:if test="$of/odm:Description/odm:TranslatedText[2]">
      <span class="other"><xsl:value-of select="$of/odm:Description/odm:TranslatedText[2]"/></span>
    </xsl:if>
  </xsl:template>

  <xsl:template name="standards">
    <h2 id="standards"><xsl:call-template name="say"><xsl:with-param name="id" select="'standards'"/></xsl:call-template></h2>
    <table style="max-width: 620px">
      <thead><tr>
        <th><xsl:call-template name="say"><xsl:with-param name="id" select="'standard'"/></xsl:call-template></th>
        <th style="width: 26%"><xsl:call-template name="say"><xsl:with-param name="id" select="'type'"/></xsl:call-template></th>
        <th style="width: 26%"><xsl:call-template name="say"><xsl:with-param name="id" select="'version'"/></xsl:call-template></th>
      </tr></thead>
      <tbody>
        <xsl:for-each select="$version/def:Standards/def:Standard">
          <tr>
            <td><xsl:value-of select="@Name"/><xsl:if test="@PublishingSet"><xsl:text> </xsl:text><xsl:value-of select="@PublishingSet"/></xsl:if></td>
            <td><xsl:value-of select="@Type"/></td>
            <td><xsl:value-of select="@Version"/></td>
          </tr>
        </xsl:for-each>
      </tbody>
    </table>
  </xsl:template>

  <xsl:template name="documents">
    <h2 id="documents"><xsl:call-template name="say"><xsl:with-param name="id" select="'documents'"/></xsl:call-template></h2>
    <ul>
      <xsl:for-each select="$version/def:leaf">
        <li><a href="{@xlink:href}"><xsl:value-of select="def:title"/></a>
          <span class="soft"><xsl:text> </xsl:text><xsl:value-of select="@xlink:href"/></span></li>
      </xsl:for-each>
    </ul>
  </xsl:template>

  <xsl:template name="datasets">
    <h2 id="datasets"><xsl:call-template name="say"><xsl:with-param name="id" select="'datasets'"/></xsl:call-template></h2>
    <table>
      <thead><tr>
        <th style="width: 9%"><xsl:call-template name="say"><xsl:with-param name="id" select="'dataset'"/></xsl:call-template></th>
        <th style="width: 18%"><xsl:call-template name="say"><xsl:with-param name="id" select="'description'"/></xsl:call-template></th>
        <th style="width: 16%"><xsl:call-template name="say"><xsl:with-param name="id" select="'class'"/></xsl:call-template></th>
        <th><xsl:call-template name="say"><xsl:with-param name="id" select="'structure'"/></xsl:call-template></th>
        <th style="width: 21%"><xsl:call-template name="say"><xsl:with-param name="id" select="'keys'"/></xsl:call-template></th>
        <th style="width: 10%"><xsl:call-template name="say"><xsl:with-param name="id" select="'file'"/></xsl:call-template></th>
      </tr></thead>
      <tbody>
        <xsl:for-each select="$version/odm:ItemGroupDef">
          <tr>
            <td class="name"><a href="#{@OID}"><xsl:value-of select="@Name"/></a></td>
            <td><xsl:call-template name="label"><xsl:with-param name="of" select="."/></xsl:call-template></td>
            <td><xsl:value-of select="def:Class/@Name"/>
              <xsl:for-each select="def:Class/def:SubClass"><span class="other"><xsl:value-of select="@Name"/></span></xsl:for-each></td>
            <td><xsl:value-of select="@def:Structure"/></td>
            <td><xsl:call-template name="keys"/></td>
            <td><a href="{def:leaf/@xlink:href}"><xsl:value-of select="def:leaf/def:title"/></a></td>
          </tr>
        </xsl:for-each>
      </tbody>
    </table>
  </xsl:template>

  <xsl:template name="keys">
    <xsl:for-each select="odm:ItemRef[@KeySequence]">
      <xsl:sort select="@KeySequence" data-type="number"/>
      <xsl:if test="position() &gt; 1">, </xsl:if><xsl:value-of select="key('item', @ItemOID)/@Name"/>
    </xsl:for-each>
  </xsl:template>

  <xsl:template match="odm:ItemGroupDef">
    <h3 id="{@OID}"><xsl:value-of select="@Name"/><xsl:text> · </xsl:text>
      <xsl:value-of select="odm:Description/odm:TranslatedText[1]"/>
      <span class="tag"><xsl:text>  </xsl:text><xsl:value-of select="@Purpose"/><xsl:text> · </xsl:text><xsl:value-of select="def:Class/@Name"/>
        <xsl:text> · </xsl:text><xsl:value-of select="key('standard', @def:StandardOID)/@Name"/><xsl:text> </xsl:text>
        <xsl:value-of select="key('standard', @def:StandardOID)/@Version"/></span></h3>
    <p class="soft"><xsl:value-of select="@def:Structure"/><xsl:text> · </xsl:text>
      <xsl:call-template name="say"><xsl:with-param name="id" select="'keys'"/></xsl:call-template><xsl:text>: </xsl:text>
      <xsl:call-template name="keys"/><xsl:text> · </xsl:text><a href="{def:leaf/@xlink:href}"><xsl:value-of select="def:leaf/def:title"/></a>
      <xsl:if test="@def:CommentOID"><span class="said"><xsl:value-of select="key('comment', @def:CommentOID)/odm:Description/odm:TranslatedText[1]"/></span></xsl:if>
    </p>
    <table>
      <thead><tr>
        <th style="width: 9%"><xsl:call-template name="say"><xsl:with-param name="id" select="'variable'"/></xsl:call-template></th>
        <th style="width: 18%"><xsl:call-template name="say"><xsl:with-param name="id" select="'label'"/></xsl:call-template></th>
        <th style="width: 4%"><xsl:call-template name="say"><xsl:with-param name="id" select="'key'"/></xsl:call-template></th>
        <th style="width: 11%"><xsl:call-template name="say"><xsl:with-param name="id" select="'type'"/></xsl:call-template></th>
        <th style="width: 7%"><xsl:call-template name="say"><xsl:with-param name="id" select="'length'"/></xsl:call-template></th>
        <th style="width: 18%"><xsl:call-template name="say"><xsl:with-param name="id" select="'terms'"/></xsl:call-template></th>
        <th><xsl:call-template name="say"><xsl:with-param name="id" select="'origin'"/></xsl:call-template></th>
      </tr></thead>
      <tbody><xsl:apply-templates select="odm:ItemRef"/></tbody>
    </table>
    <xsl:for-each select="odm:ItemRef[key('item', @ItemOID)/def:ValueListRef]">
      <xsl:variable name="list" select="key('item', @ItemOID)/def:ValueListRef/@ValueListOID"/>
      <h4 id="{$list}"><xsl:call-template name="say"><xsl:with-param name="id" select="'values'"/></xsl:call-template>
        <xsl:text> </xsl:text><xsl:value-of select="key('item', @ItemOID)/@Name"/></h4>
      <table>
        <thead><tr>
          <th style="width: 31%"><xsl:call-template name="say"><xsl:with-param name="id" select="'where'"/></xsl:call-template></th>
          <th style="width: 11%"><xsl:call-template name="say"><xsl:with-param name="id" select="'type'"/></xsl:call-template></th>
          <th style="width: 7%"><xsl:call-template name="say"><xsl:with-param name="id" select="'length'"/></xsl:call-template></th>
          <th style="width: 18%"><xsl:call-template name="say"><xsl:with-param name="id" select="'terms'"/></xsl:call-template></th>
          <th><xsl:call-template name="say"><xsl:with-param name="id" select="'origin'"/></xsl:call-template></th>
        </tr></thead>
        <tbody>
          <xsl:for-each select="key('values', $list)/odm:ItemRef">
            <tr>
              <td><xsl:apply-templates select="def:WhereClauseRef"/></td>
              <xsl:call-template name="described"/>
            </tr>
          </xsl:for-each>
        </tbody>
      </table>
    </xsl:for-each>
    <p class="top"><a href="#top"><xsl:call-template name="say"><xsl:with-param name="id" select="'top'"/></xsl:call-template></a></p>
  </xsl:template>

  <xsl:template match="odm:ItemGroupDef/odm:ItemRef">
    <xsl:variable name="item" select="key('item', @ItemOID)"/>
    <tr id="{@ItemOID}">
      <td class="name"><xsl:value-of select="$item/@Name"/>
        <xsl:if test="$item/def:ValueListRef"><span class="other"><a href="#{$item/def:ValueListRef/@ValueListOID}">
          <xsl:call-template name="say"><xsl:with-param name="id" select="'valuelevel'"/></xsl:call-template></a></span></xsl:if></td>
      <td><xsl:call-template name="label"><xsl:with-param name="of" select="$item"/></xsl:call-template></td>
      <td class="number"><xsl:value-of select="@KeySequence"/></td>
      <xsl:call-template name="described"/>
    </tr>
  </xsl:template>

  <xsl:template name="described">
    <xsl:variable name="item" select="key('item', @ItemOID)"/>
    <td><xsl:value-of select="$item/@DataType"/>
      <xsl:if test="@Mandatory = 'Yes' and not(def:WhereClauseRef)"><span class="other"><xsl:call-template name="say"><xsl:with-param name="id" select="'mandatory'"/></xsl:call-template></span></xsl:if>
      <xsl:if test="@def:HasNoData = 'Yes'"><span class="other mark"><xsl:call-template name="say"><xsl:with-param name="id" select="'nodata'"/></xsl:call-template></span></xsl:if></td>
    <td class="number"><xsl:value-of select="$item/@Length"/>
      <xsl:if test="$item/@SignificantDigits">.<xsl:value-of select="$item/@SignificantDigits"/></xsl:if>
      <xsl:if test="$item/@def:DisplayFormat"><span class="other"><xsl:value-of select="$item/@def:DisplayFormat"/></span></xsl:if></td>
    <td><xsl:apply-templates select="$item/odm:CodeListRef"/></td>
    <td>
      <xsl:for-each select="$item/def:Origin">
        <span class="said"><xsl:value-of select="@Type"/>
          <xsl:if test="@Source"><span class="soft"> (<xsl:value-of select="@Source"/>)</span></xsl:if>
          <xsl:if test="odm:Description">: <xsl:value-of select="odm:Description/odm:TranslatedText[1]"/></xsl:if>
          <xsl:for-each select="def:DocumentRef">
            <xsl:variable name="file" select="key('leaf', @leafID)/@xlink:href"/>
            <xsl:for-each select="def:PDFPageRef">
              <xsl:text> · </xsl:text><xsl:call-template name="say"><xsl:with-param name="id" select="'page'"/></xsl:call-template><xsl:text> </xsl:text>
              <a href="{$file}#page={substring-before(concat(@PageRefs, ' '), ' ')}"><xsl:value-of select="@PageRefs"/></a>
            </xsl:for-each>
          </xsl:for-each></span>
      </xsl:for-each>
      <xsl:if test="@MethodOID"><span class="said"><xsl:value-of select="key('method', @MethodOID)/odm:Description/odm:TranslatedText[1]"/></span></xsl:if>
      <xsl:if test="$item/@def:CommentOID"><span class="said soft"><xsl:value-of select="key('comment', $item/@def:CommentOID)/odm:Description/odm:TranslatedText[1]"/></span></xsl:if>
    </td>
  </xsl:template>

  <xsl:template match="def:WhereClauseRef">
    <xsl:for-each select="key('where', @WhereClauseOID)/odm:RangeCheck">
      <xsl:variable name="asked" select="key('item', @def:ItemOID)"/>
      <xsl:variable name="list" select="key('codelist', $asked/odm:CodeListRef/@CodeListOID)"/>
      <span class="said"><xsl:value-of select="$asked/@Name"/>
        <xsl:variable name="comparator" select="@Comparator"/><xsl:text> </xsl:text><xsl:value-of select="document('')/xsl:stylesheet/said:signs/said:sign[@of = $comparator]"/><xsl:text> </xsl:text>
        <xsl:for-each select="odm:CheckValue">
          <xsl:variable name="value" select="string(.)"/>
          <xsl:if test="position() &gt; 1">, </xsl:if><b><xsl:value-of select="."/></b>
          <xsl:if test="$list/odm:CodeListItem[@CodedValue = $value][odm:Decode/odm:TranslatedText[1] != $value]"><span class="soft"> (<xsl:value-of select="$list/odm:CodeListItem[@CodedValue = $value]/odm:Decode/odm:TranslatedText[1]"/>)</span></xsl:if>
        </xsl:for-each></span>
    </xsl:for-each>
  </xsl:template>

  <xsl:template match="odm:CodeListRef">
    <xsl:variable name="list" select="key('codelist', @CodeListOID)"/>
    <a href="#{@CodeListOID}"><xsl:value-of select="$list/@Name"/></a>
    <xsl:variable name="terms" select="$list/odm:EnumeratedItem | $list/odm:CodeListItem"/>
    <xsl:if test="$terms and count($terms) &lt; 6">
      <span class="other"><xsl:for-each select="$terms"><xsl:if test="position() &gt; 1"> | </xsl:if><xsl:value-of select="@CodedValue"/>
        <xsl:if test="odm:Decode"> = <xsl:value-of select="odm:Decode/odm:TranslatedText[1]"/></xsl:if></xsl:for-each></span>
    </xsl:if>
    <xsl:if test="$list/odm:ExternalCodeList/@Version"><span class="other"><xsl:value-of select="$list/odm:ExternalCodeList/@Version"/></span></xsl:if>
  </xsl:template>

  <xsl:template name="codelists">
    <h2 id="codelists"><xsl:call-template name="say"><xsl:with-param name="id" select="'codelists'"/></xsl:call-template></h2>
    <xsl:if test="$version/odm:CodeList/odm:ExternalCodeList">
      <h3><xsl:call-template name="say"><xsl:with-param name="id" select="'dictionaries'"/></xsl:call-template></h3>
      <ul>
        <xsl:for-each select="$version/odm:CodeList[odm:ExternalCodeList]">
          <li id="{@OID}"><xsl:value-of select="odm:ExternalCodeList/@Dictionary"/><xsl:text> </xsl:text><xsl:value-of select="odm:ExternalCodeList/@Version"/></li>
        </xsl:for-each>
      </ul>
    </xsl:if>
    <div class="lists">
      <xsl:for-each select="$version/odm:CodeList[not(odm:ExternalCodeList)]">
        <xsl:sort select="@Name"/>
        <div>
          <xsl:attribute name="class">list<xsl:if test="count(odm:CodeListItem | odm:EnumeratedItem) &gt; 14"> long</xsl:if></xsl:attribute>
          <h4 id="{@OID}"><xsl:value-of select="@Name"/>
            <span class="tag"><xsl:text>  </xsl:text><xsl:value-of select="odm:Alias/@Name"/><xsl:text> </xsl:text>
              <xsl:value-of select="key('standard', @def:StandardOID)/@Version"/></span></h4>
          <xsl:if test="odm:Description"><p class="soft"><xsl:value-of select="odm:Description/odm:TranslatedText[1]"/></p></xsl:if>
          <table>
            <thead><tr>
              <th><xsl:call-template name="say"><xsl:with-param name="id" select="'term'"/></xsl:call-template></th>
              <xsl:if test="odm:CodeListItem"><th style="width: 50%"><xsl:call-template name="say"><xsl:with-param name="id" select="'decode'"/></xsl:call-template></th></xsl:if>
              <xsl:if test="*/odm:Alias or */@def:ExtendedValue"><th style="width: 22%"><xsl:call-template name="say"><xsl:with-param name="id" select="'code'"/></xsl:call-template></th></xsl:if>
            </tr></thead>
            <tbody>
              <xsl:for-each select="odm:CodeListItem | odm:EnumeratedItem">
                <tr>
                  <td><xsl:value-of select="@CodedValue"/></td>
                  <xsl:if test="../odm:CodeListItem"><td><xsl:value-of select="odm:Decode/odm:TranslatedText[1]"/></td></xsl:if>
                  <xsl:if test="../*/odm:Alias or ../*/@def:ExtendedValue"><td><xsl:value-of select="odm:Alias/@Name"/>
                    <xsl:if test="@def:ExtendedValue = 'Yes'"><span class="mark"><xsl:call-template name="say"><xsl:with-param name="id" select="'extended'"/></xsl:call-template></span></xsl:if></td></xsl:if>
                </tr>
              </xsl:for-each>
            </tbody>
          </table>
        </div>
      </xsl:for-each>
    </div>
  </xsl:template>

  <xsl:template name="results">
    <h2 id="results"><xsl:call-template name="say"><xsl:with-param name="id" select="'results'"/></xsl:call-template></h2>
    <xsl:for-each select="$version/arm:AnalysisResultDisplays/arm:ResultDisplay">
      <h3 id="{@OID}"><xsl:value-of select="@Name"/><xsl:text> · </xsl:text><xsl:value-of select="odm:Description/odm:TranslatedText[1]"/></h3>
      <table>
        <thead><tr>
          <th style="width: 22%"><xsl:call-template name="say"><xsl:with-param name="id" select="'result'"/></xsl:call-template></th>
          <th style="width: 14%"><xsl:call-template name="say"><xsl:with-param name="id" select="'reason'"/></xsl:call-template></th>
          <th style="width: 28%"><xsl:call-template name="say"><xsl:with-param name="id" select="'data'"/></xsl:call-template></th>
          <th><xsl:call-template name="say"><xsl:with-param name="id" select="'documentation'"/></xsl:call-template></th>
        </tr></thead>
        <tbody>
          <xsl:for-each select="arm:AnalysisResult">
            <tr id="{@OID}">
              <td><xsl:value-of select="odm:Description/odm:TranslatedText[1]"/></td>
              <td><xsl:value-of select="@AnalysisReason"/><span class="other"><xsl:value-of select="@AnalysisPurpose"/></span></td>
              <td><xsl:for-each select="arm:AnalysisDatasets/arm:AnalysisDataset">
                <span class="said"><a href="#{@ItemGroupOID}"><xsl:value-of select="key('group', @ItemGroupOID)/@Name"/></a>
                  <xsl:if test="arm:AnalysisVariable">: <xsl:for-each select="arm:AnalysisVariable"><xsl:if test="position() &gt; 1">, </xsl:if><a href="#{@ItemOID}"><xsl:value-of select="key('item', @ItemOID)/@Name"/></a></xsl:for-each></xsl:if></span>
                <span class="soft"><xsl:apply-templates select="def:WhereClauseRef"/></span>
              </xsl:for-each></td>
              <td><xsl:value-of select="arm:Documentation/odm:Description/odm:TranslatedText[1]"/>
                <xsl:if test="arm:ProgrammingCode/arm:Code"><pre><xsl:value-of select="arm:ProgrammingCode/arm:Code"/></pre></xsl:if></td>
            </tr>
          </xsl:for-each>
        </tbody>
      </table>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
