{#
    How a column gets its value, from the source and from the table that Inlay publishes:

        a person's correction  >  the source's own value  >  a rule's  >  the model's  >  the default

    A source's value that is null, empty, blank or a placeholder counts as missing. An answer that was given for
    another input than the row's present one is not used, where the published table holds the inputs
    (`output.inputs: true`). What is not there yet (the published table, or a column of it) is null, so models build
    before the first run.

    Models call inlay_enriched; the tests below are used in YAML files. All of them look the tables up while dbt
    compiles. No package is needed.
#}

{#
    A query: every column of `rows`, and for each field
        original_<name>                        the source's value as it is, where the field has an original
        <answer>, <answer>_confidence ...      what Inlay published
        <name>_source                          human, original, rule, model, default, or null
        <name>                                 the value
    with <prefix>enriched_at, <prefix>model_version and <prefix>enrichment_state once a row.

    rows, answers   relations: the source and the published table (the same one with in_place=true)
    key             the columns that tell every row apart, in both
    fields          a list of: name, answer, kind (string, integer, number, boolean, date, datetime);
                    perhaps original, default, inputs, trimmed, confidence, evidence
#}
{% macro inlay_enriched(rows, answers, key, fields, placeholders=[], prefix='llm_', in_place=false) %}
    {%- if not execute -%}{{ return('select 1 as inlay_parsing') }}{%- endif -%}
    {%- set own = inlay_columns(rows) -%}
    {%- set told = inlay_columns(answers) -%}
    {%- set a = 'inlay_s' if in_place else 'inlay_a' -%}
    {%- set here = inlay_names(own) -%}
    {%- set taken = inlay_taken(fields, prefix) -%}
    {%- set there = told | length > 0 -%}
    {%- for name in here -%}
        {%- if name | lower in taken and not taken[name | lower] and not in_place -%}
            {%- do exceptions.warn("inlay: " ~ rows ~ " has a column " ~ name ~ " of its own; the model shows what Inlay knows under this name") -%}
        {%- endif -%}
    {%- endfor -%}
with inlay_joined as (

    select
    {%- for name in here %}
        inlay_s.{{ inlay_quoted(name) }},
    {%- endfor %}
    {%- for field in fields %}
        {%- set n = loop.index %}
        {%- if field.original is defined %}
        {{ inlay_original(own, rows, field, placeholders) }} as inlay__own_{{ n }},
        {%- endif %}
        {{ inlay_fresh(own, told, a, field, inlay_find(told, key[0])) }} as inlay__fresh_{{ n }},
        {{ inlay_told(told, a, field.answer, field.kind) }} as inlay__value_{{ n }},
        {{ inlay_told(told, a, field.answer ~ '_source', 'string') }} as inlay__source_{{ n }},
        {%- for more, kind in inlay_beside(field) %}
        {{ inlay_told(told, a, field.answer ~ more, kind) }} as inlay__beside_{{ n }}{{ more }},
        {%- endfor %}
    {%- endfor %}
        {{ inlay_told(told, a, inlay_mark(told, prefix, 'enriched_at', in_place), 'datetime') }} as inlay__enriched_at,
        {{ inlay_told(told, a, inlay_mark(told, prefix, 'model_version', in_place), 'string') }} as inlay__model_version,
        {{ inlay_told(told, a, inlay_mark(told, prefix, 'enrichment_state', in_place), 'string') }} as inlay__state
    from (select * from {{ rows }}) inlay_s
    {%- if there and not in_place %}
    left join (select * from {{ answers }}) inlay_a
        on {% for name in key -%}
            inlay_a.{{ inlay_quoted(inlay_there(told, name, answers)) }} = inlay_s.{{ inlay_quoted(inlay_there(own, name, rows)) }}
            {%- if not loop.last %} and {% endif -%}
        {%- endfor %}
    {%- endif %}

),

inlay_judged as (

    select
        inlay_joined.*,
    {%- for field in fields %}
        {%- set n = loop.index %}
        case
            when inlay__source_{{ n }} = 'human' then 'human'
            when inlay__fresh_{{ n }} = 0 then null
            when inlay__source_{{ n }} = 'rule' then 'rule'
            when inlay__value_{{ n }} is not null then 'model'
        end as inlay__who_{{ n }}{{ ',' if not loop.last }}
    {%- endfor %}
    from inlay_joined

)

select
    {%- for name in here %}
        {%- if name | lower not in taken %}
    {{ inlay_quoted(name) }},
        {%- endif %}
    {%- endfor %}
    {%- for field in fields %}
        {%- set n = loop.index %}
        {%- set own_value = 'inlay__own_' ~ n %}
        {%- set value = 'inlay__value_' ~ n %}
        {%- set usable = inlay_usable(value, field.kind) %}
        {%- set current = '(inlay__fresh_' ~ n ~ " = 1 or inlay__source_" ~ n ~ " = 'human')" %}
        {%- if field.original is defined %}
    {{ inlay_quoted(inlay_there(own, field.original, rows)) }} as {{ inlay_quoted('original_' ~ field.name) }},
        {%- endif %}
    case when {{ current }} then {{ value }} end as {{ inlay_quoted(inlay_predicted(field)) }},
        {%- for more, kind in inlay_beside(field) if more != '_null_reason' %}
    case when {{ current }} then inlay__beside_{{ n }}{{ more }} end as {{ inlay_quoted(inlay_predicted(field) ~ more) }},
        {%- endfor %}
    case when {{ current }} or {{ value }} is null then inlay__beside_{{ n }}_null_reason else 'input_changed' end as {{ inlay_quoted(inlay_predicted(field) ~ '_null_reason') }},
    case
        when inlay__who_{{ n }} = 'human' then 'human'
        {%- if field.original is defined %}
        when {{ own_value }} is not null then 'original'
        {%- endif %}
        when inlay__who_{{ n }} = 'rule' then 'rule'
        when inlay__who_{{ n }} is not null and {{ usable }} then inlay__who_{{ n }}
        {%- if field.default is defined %}
        else 'default'
        {%- endif %}
    end as {{ inlay_quoted(field.name ~ '_source') }},
    case
        when inlay__who_{{ n }} = 'human' then {{ value }}
        {%- if field.original is defined %}
        when {{ own_value }} is not null then {{ own_value }}
        {%- endif %}
        when inlay__who_{{ n }} = 'rule' then {{ value }}
        when inlay__who_{{ n }} is not null and {{ usable }} then {{ value }}
        {%- if field.default is defined %}
        else {{ inlay_typed(inlay_literal(field.default), field.kind) }}
        {%- endif %}
    end as {{ inlay_quoted(field.name) }},
    {%- endfor %}
    inlay__enriched_at as {{ inlay_quoted(prefix ~ 'enriched_at') }},
    inlay__model_version as {{ inlay_quoted(prefix ~ 'model_version') }},
    inlay__state as {{ inlay_quoted(prefix ~ 'enrichment_state') }}
from inlay_judged
{%- endmacro %}


{# Whether a text is missing: null, empty, blank, or one of the placeholders. #}
{% macro inlay_is_missing(text, placeholders=[]) -%}
    ({{ text }} is null or {{ inlay_trimmed(text) }} = ''
    {%- if placeholders %} or {{ inlay_is_one_of(inlay_trimmed(text), placeholders) }}{% endif %})
{%- endmacro %}


{# The source's own value in the field's type, or null where it is missing. #}
{% macro inlay_original(own, rows, field, placeholders) -%}
    {%- set name = inlay_there(own, field.original, rows) -%}
    {%- set column = 'inlay_s.' ~ inlay_quoted(name) -%}
    {%- set text = inlay_text(column, own[name]) -%}
    case when not {{ inlay_is_missing(text, placeholders) }} then {{ inlay_fitting(column, own[name], field.kind) }} end
{%- endmacro %}


{# A column of the published table, or null where it is not there. #}
{% macro inlay_told(told, a, name, kind) -%}
    {%- set found = inlay_find(told, name) -%}
    {%- if found is none -%}
        {{ inlay_typed('null', kind) }}
    {%- else -%}
        {{ a }}.{{ inlay_quoted(found) }}
    {%- endif -%}
{%- endmacro %}


{# The name of what is there once a row: in the source's own table it has the prefix. #}
{% macro inlay_mark(told, prefix, name, in_place) %}
    {%- if in_place and inlay_find(told, prefix ~ name) is not none -%}
        {{- return(prefix ~ name) -}}
    {%- endif -%}
    {{- return(name) -}}
{% endmacro %}


{# 0 where the answer was given for another input than the row's present one, as far as the published table can tell;
   1 otherwise, and where there is no answer. Only types that every database writes alike are compared. #}
{% macro inlay_fresh(own, told, a, field, key) -%}
    {%- set same = [] -%}
    {%- for name in field.get('inputs', []) -%}
        {%- set kept = inlay_find(told, 'input_' ~ name) -%}
        {%- set now = inlay_find(own, name) -%}
        {%- if kept is not none and now is not none and inlay_same_everywhere(own[now]) -%}
            {%- set before = a ~ '.' ~ inlay_quoted(kept) -%}
            {%- set present = inlay_text('inlay_s.' ~ inlay_quoted(now), own[now]) -%}
            {%- if field.get('trimmed') -%}
                {%- set before, present = inlay_trimmed(before), inlay_trimmed(present) -%}
            {%- endif -%}
            {%- do same.append('(' ~ inlay_equal(before, present) ~ ' or (' ~ before ~ ' is null and ' ~ present ~ ' is null))') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if same -%}
        case when {{ a }}.{{ inlay_quoted(key) }} is null or ({{ same | join(' and ') }}) then 1 else 0 end
    {%- else -%}
        1
    {%- endif -%}
{%- endmacro %}


{% macro inlay_usable(value, kind) -%}
    {{ value }} is not null{% if kind == 'string' %} and {{ inlay_trimmed(value) }} <> ''{% endif %}
{%- endmacro %}


{# What is published beside a value: endings of columns, and their types. #}
{% macro inlay_beside(field) %}
    {%- set found = [] -%}
    {%- if field.get('confidence') -%}{%- do found.append(['_confidence', 'confidence']) -%}{%- endif -%}
    {%- if field.get('evidence') -%}{%- do found.append(['_evidence', 'string']) -%}{%- endif -%}
    {%- do found.append(['_null_reason', 'string']) -%}
    {{- return(found) -}}
{% endmacro %}


{# The name of the published value in a model: as in the published table, unless the final value has that name. #}
{% macro inlay_predicted(field) %}
    {{- return(field.answer if field.answer != field.name else 'llm_' ~ field.answer) -}}
{% endmacro %}


{# Names that the model makes, in lower case; true for those that stand in for a column of the source. #}
{% macro inlay_taken(fields, prefix) %}
    {%- set names = {} -%}
    {%- for more in ['enriched_at', 'model_version', 'enrichment_state'] -%}
        {%- do names.update({(prefix ~ more) | lower: false}) -%}
    {%- endfor -%}
    {%- for field in fields -%}
        {%- do names.update({inlay_predicted(field) | lower: false, (field.name ~ '_source') | lower: false}) -%}
        {%- for more, kind in inlay_beside(field) -%}
            {%- do names.update({(inlay_predicted(field) ~ more) | lower: false}) -%}
        {%- endfor -%}
        {%- if field.original is defined -%}
            {%- do names.update({('original_' ~ field.name) | lower: false}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for field in fields -%}
        {%- do names.update({field.name | lower: true}) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}


{# The columns of a relation by name, and their types; empty where it does not exist. #}
{% macro inlay_columns(relation) %}
    {%- set found = {} -%}
    {%- if execute and relation is not string -%}
        {%- set known = adapter.get_relation(database=relation.database, schema=relation.schema, identifier=relation.identifier) -%}
        {%- if known is not none -%}
            {%- for column in adapter.get_columns_in_relation(known) -%}
                {%- do found.update({column.name: column}) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    {{- return(found) -}}
{% endmacro %}


{% macro inlay_names(columns) %}
    {{- return(columns.keys() | list) -}}
{% endmacro %}


{# A column's name as the database writes it, or none. #}
{% macro inlay_find(columns, name) %}
    {%- if name in columns -%}
        {{- return(name) -}}
    {%- endif -%}
    {%- for other in columns -%}
        {%- if other | lower == name | lower -%}
            {{- return(other) -}}
        {%- endif -%}
    {%- endfor -%}
    {{- return(none) -}}
{% endmacro %}


{# The same, or an error that says what there is. #}
{% macro inlay_there(columns, name, relation) %}
    {%- set found = inlay_find(columns, name) -%}
    {%- if found is none and execute -%}
        {%- if columns -%}
            {%- do exceptions.raise_compiler_error("inlay: " ~ relation ~ " has no column " ~ name ~ "; its columns are " ~ columns.keys() | join(', ')) -%}
        {%- else -%}
            {%- do exceptions.raise_compiler_error("inlay: there is no table " ~ relation ~ ", or this user may not see it") -%}
        {%- endif -%}
    {%- endif -%}
    {{- return(found if found is not none else name) -}}
{% endmacro %}


{# A name as SQL, whatever it holds. #}
{% macro inlay_quoted(name) -%}
    {%- set mark = adapter.quote('x') | first -%}
    {{ mark }}{{ name | replace(mark, mark ~ mark) }}{{ mark }}
{%- endmacro %}


{% macro inlay_text(expression, column) -%}
    {%- if column.is_string() -%}{{ expression }}{%- else -%}{{ inlay_typed(expression, 'string') }}{%- endif -%}
{%- endmacro %}


{# A source's value in the type of its field: cast only where the types differ. #}
{% macro inlay_fitting(expression, column, kind) -%}
    {%- if kind == 'string' -%}
        {{ inlay_text(expression, column) }}
    {%- elif column.is_string() -%}
        {{ adapter.dispatch('inlay_read')(inlay_trimmed(expression), kind) }}
    {%- elif kind == 'boolean' and column.is_number() -%}
        ({{ expression }} <> 0)
    {%- else -%}
        {{ expression }}
    {%- endif -%}
{%- endmacro %}


{% macro inlay_same_everywhere(column) %}
    {%- set kind = column.dtype | lower -%}
    {{- return(column.is_string() or column.is_integer() or 'char' in kind or 'text' in kind or 'int' in kind or kind == 'date') -}}
{% endmacro %}


{# Constants of the declaration as SQL. #}
{% macro inlay_literal(value) -%}
    {%- if value is none -%}null
    {%- elif value is boolean -%}{{ 'true' if value else 'false' }}
    {%- elif value is number -%}{{ value }}
    {%- else -%}{{ adapter.dispatch('inlay_string')(value) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__inlay_string(value) -%}
    '{{ value | replace("'", "''") }}'
{%- endmacro %}

{% macro mysql__inlay_string(value) -%}
    '{{ value | replace("\\", "\\\\") | replace("'", "''") }}'
{%- endmacro %}


{% macro inlay_typed(expression, kind) -%}
    cast({{ expression }} as {{ adapter.dispatch('inlay_type')(kind) }})
{%- endmacro %}

{% macro default__inlay_type(kind) -%}
    {{ {
        'string': dbt.type_string(), 'integer': dbt.type_bigint(), 'number': 'double precision', 'boolean': dbt.type_boolean(),
        'date': 'date', 'datetime': dbt.type_timestamp(), 'confidence': 'decimal(5, 4)',
    }[kind] }}
{%- endmacro %}

{# SQLite has no dates: casting a text to one would leave the year. #}
{% macro sqlite__inlay_type(kind) -%}
    {{ {
        'string': 'text', 'integer': 'integer', 'number': 'real', 'boolean': 'integer', 'date': 'text', 'datetime': 'text',
        'confidence': 'real',
    }[kind] }}
{%- endmacro %}

{% macro mysql__inlay_type(kind) -%}
    {{ {
        'string': 'char', 'integer': 'signed', 'number': 'double', 'boolean': 'signed', 'date': 'date',
        'datetime': 'datetime(6)', 'confidence': 'decimal(5, 4)',
    }[kind] }}
{%- endmacro %}


{# A text as a number, boolean or date; null where it is none, so that one odd value of the source fails no build. #}
{% macro default__inlay_read(text, kind) -%}
    {{ dbt.safe_cast(text, adapter.dispatch('inlay_type')(kind)) }}
{%- endmacro %}

{% macro duckdb__inlay_read(text, kind) -%}
    try_cast({{ text }} as {{ adapter.dispatch('inlay_type')(kind) }})
{%- endmacro %}

{% macro postgres__inlay_read(text, kind) -%}
    case when {{ text }} ~* '{{ inlay_form(kind) }}' then {{ inlay_typed(text, kind) }} end
{%- endmacro %}

{% macro mysql__inlay_read(text, kind) -%}
    {%- if kind == 'boolean' -%}
        {{ inlay_truth(text) }}
    {%- else -%}
        case when {{ text }} regexp '{{ inlay_form(kind) }}' then {{ inlay_typed(text, kind) }} end
    {%- endif -%}
{%- endmacro %}

{% macro sqlite__inlay_read(text, kind) -%}
    {%- if kind == 'boolean' -%}
        {{ inlay_truth(text) }}
    {%- elif kind in ('integer', 'number') -%}
        case when {{ text }} glob '*[0-9]*' and not {{ text }} glob '*[^0-9{{ '.eE' if kind == 'number' }}+-]*' then {{ inlay_typed(text, kind) }} end
    {%- else -%}
        {{ text }}
    {%- endif -%}
{%- endmacro %}

{% macro inlay_truth(text) -%}
    case when lower({{ text }}) in ('true', 't', 'yes', 'y', '1') then 1 when lower({{ text }}) in ('false', 'f', 'no', 'n', '0') then 0 end
{%- endmacro %}

{% macro inlay_form(kind) -%}
    {%- set ordinary = '[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))' -%}
    {%- set leap = '([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29' -%}
    {%- set day = '(' ~ ordinary ~ '|' ~ leap ~ ')' -%}
    {{ {
        'integer': '^[-+]?[0-9]{1,18}$',
        'number': '^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[-+]?[0-9]{1,2})?$',
        'boolean': '^(true|t|yes|y|1|false|f|no|n|0)$',
        'date': '^' ~ day ~ '$',
        'datetime': '^' ~ day ~ '([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?)?$',
    }[kind] }}
{%- endmacro %}


{# A text without white space at its ends: every kind that Unicode has, the ideographic space too. #}
{% macro inlay_trimmed(text) -%}
    {{ adapter.dispatch('inlay_trimmed')(text, inlay_spaces()) }}
{%- endmacro %}

{% macro inlay_spaces() -%}
    {{ return('\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000') }}
{%- endmacro %}

{% macro default__inlay_trimmed(text, spaces) -%}
    trim({{ text }}, '{{ spaces }}')
{%- endmacro %}

{% macro postgres__inlay_trimmed(text, spaces) -%}
    btrim({{ text }}, '{{ spaces }}')
{%- endmacro %}

{% macro mysql__inlay_trimmed(text, spaces) -%}
    regexp_replace({{ text }}, '^[{{ spaces }}]+|[{{ spaces }}]+$', '')
{%- endmacro %}


{# Whether two texts are the same, character by character. #}
{% macro inlay_equal(one, other) -%}
    {{ adapter.dispatch('inlay_equal')(one, other) }}
{%- endmacro %}

{% macro default__inlay_equal(one, other) -%}
    {{ one }} = {{ other }}
{%- endmacro %}

{% macro mysql__inlay_equal(one, other) -%}
    cast(convert({{ one }} using utf8mb4) as binary) = cast(convert({{ other }} using utf8mb4) as binary)
{%- endmacro %}


{# Whether a text is exactly one of these words, whatever the database's collation takes for equal. #}
{% macro inlay_is_one_of(text, words) -%}
    {{ adapter.dispatch('inlay_is_one_of')(text, words) }}
{%- endmacro %}

{% macro default__inlay_is_one_of(text, words) -%}
    {{ text }} in ({% for word in words %}{{ inlay_literal(word) }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{% macro mysql__inlay_is_one_of(text, words) -%}
    convert({{ text }} using utf8mb4) collate utf8mb4_bin in ({% for word in words %}{{ inlay_literal(word) }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}


{#
    Tests that pass while the table or the column is not there yet. Their arguments may stand below `arguments`, as dbt
    wants it from 1.10 on, or beside the name of the test, as older ones do.
#}
{% test inlay_not_null(model, column_name, arguments=none) %}
    {%- set name = inlay_tested(model, column_name) -%}
    {%- if name is none -%}
        {{ inlay_nothing() }}
    {%- else -%}
select {{ name }} from {{ model }} where {{ name }} is null
    {%- endif -%}
{% endtest %}


{% test inlay_unique(model, column_name=none, columns=none, arguments=none) %}
    {%- set wanted = columns or (arguments or {}).get('columns') or [column_name] -%}
    {%- set names = [] -%}
    {%- for wish in wanted -%}
        {%- do names.append(inlay_tested(model, wish)) -%}
    {%- endfor -%}
    {%- if none in names -%}
        {{ inlay_nothing() }}
    {%- else -%}
select {{ names | join(', ') }}, count(*) as inlay_rows from {{ model }} group by {{ names | join(', ') }} having count(*) > 1
    {%- endif -%}
{% endtest %}


{% test inlay_accepted_values(model, column_name, values=none, arguments=none) %}
    {%- set name = inlay_tested(model, column_name) -%}
    {%- if name is none -%}
        {{ inlay_nothing() }}
    {%- else -%}
select {{ name }} from {{ model }} where {{ name }} is not null and not ({{ inlay_is_one_of(name, values or arguments['values']) }})
    {%- endif -%}
{% endtest %}


{% test inlay_between(model, column_name, least=none, greatest=none, arguments=none) %}
    {%- set name = inlay_tested(model, column_name) -%}
    {%- set least = least if least is not none else (arguments or {}).get('least') -%}
    {%- set greatest = greatest if greatest is not none else (arguments or {}).get('greatest') -%}
    {%- if name is none or (least is none and greatest is none) -%}
        {{ inlay_nothing() }}
    {%- else -%}
        {#- DuckDB's mysql extension (1.5) fails to count rows behind a single comparison, so it is no WHERE. -#}
select inlay_value from (
    select {{ name }} as inlay_value, case when
        {%- if least is not none %} {{ name }} < {{ inlay_literal(least) }}{% endif %}
        {%- if least is not none and greatest is not none %} or{% endif %}
        {%- if greatest is not none %} {{ name }} > {{ inlay_literal(greatest) }}{% endif %} then 1 else 0 end as inlay_outside
    from {{ model }}
) inlay_all where inlay_outside = 1
    {%- endif -%}
{% endtest %}


{# The column of a test as SQL; none where it is not there. #}
{% macro inlay_tested(model, wish) %}
    {%- if model is string -%}
        {{- return(wish) -}}
    {%- endif -%}
    {%- for name in inlay_columns(model) -%}
        {%- if wish in [adapter.quote(name), inlay_quoted(name)] or wish | lower == name | lower -%}
            {{- return(inlay_quoted(name)) -}}
        {%- endif -%}
    {%- endfor -%}
    {{- return(none) -}}
{% endmacro %}


{% macro inlay_nothing() -%}
select inlay_absent from (select 1 as inlay_absent) inlay_none where 1 = 0
{%- endmacro %}
