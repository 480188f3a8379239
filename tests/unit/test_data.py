"""Input as companies have it: every shape becomes one canonical history, and what cannot is set aside with its reason."""

import csv
import gzip
from datetime import date, timedelta

import pandas as pd
import pytest

from churn.data import prepare as module
from churn.data.datasets import read_dataset
from churn.data.mapping import DatasetMapping
from churn.data.prepare import Prepared, plausible_days, prepare
from churn.platform.errors import ChurnError, ConfigError, InputError, IntegrityError, StateError

COLUMNS = {"customer_id": "who", "event_timestamp": "at", "amount": "paid"}


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    """Evidently takes seconds to import; the page has a test of its own."""
    monkeypatch.setattr(module, "quality_page", lambda *_: [])


@pytest.fixture
def shop(tmp_path):
    def read(content, encoding="utf-8", name="log.csv", tickets="", **mapping):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        if tickets:
            (tmp_path / "tickets.csv").write_text(tickets)
        rules = DatasetMapping.of({"name": "shop", "columns": COLUMNS, "quality": {"max_rejected_share": 0.9}} | mapping, "shop.yaml")
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        rejects = tmp_path / "rejects.csv"
        facts = prepare(
            rules, str(path), str(tmp_path / "tickets.csv") if tickets else "", out=out, rejects=rejects, page=tmp_path / "page.html"
        )
        with rejects.open() as file:
            bad = list(csv.DictReader(file))
        return facts, pd.read_parquet(out / "transactions.parquet"), bad, out

    return read


def log(*rows, head="who,at,paid", separator="\n"):
    return separator.join([head, *rows]) + separator


GOOD = ("7,2020-01-01,10.5", "8,2020-01-02,3")


def amounts(frame):
    return sorted(frame["amount"])


@pytest.mark.parametrize("form", [{}, {"separator": ";"}, {"separator": "tab"}, {"separator": "|"}, {"separator": "whitespace"}])
def test_separators(shop, form):
    sign = {"tab": "\t", "whitespace": "  "}.get(form.get("separator", ","), form.get("separator", ","))
    facts, frame, _, _ = shop(log(*GOOD).replace(",", sign), format=form)
    assert facts.rows == 2
    assert amounts(frame) == [3, 10.5]
    assert frame["customer_id"].tolist() == ["7", "8"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_encodings(shop, encoding):
    given = {} if encoding.startswith("utf-8") else {"encoding": encoding}
    _, frame, _, _ = shop(
        log("Müller,2020-01-01,1", head="Käufer,at,paid"), encoding, format=given, columns=COLUMNS | {"customer_id": "Käufer"}
    )
    assert frame["customer_id"].tolist() == ["Müller"]


def test_bytes_of_another_encoding_are_bad_rows(shop):
    facts, frame, bad, _ = shop(log(*GOOD, "Müller,2020-01-01,1"), "latin-1")
    assert (facts.rejected_rows, len(frame)) == (1, 2)
    assert bad[0]["line"] == "4"
    assert bad[0]["reason"] == "customer_id is not of the file's encoding"


def test_a_bad_byte_in_a_column_that_nobody_asks_for_is_no_matter(shop):
    facts, _, _, _ = shop(log("7,2020-01-01,1,Müller", head="who,at,paid,note"), "latin-1")
    assert facts.rejected_rows == 0


def test_compressed_crlf_blank_lines_and_quotes(shop):
    text = log('"7","2020-01-01","1.5"', "", '"a,b",2020-01-02,2', '"x""y",2020-01-03,3', separator="\r\n")
    _, frame, bad, _ = shop(gzip.compress(text.encode()), name="log.csv.gz")
    assert frame["customer_id"].tolist() == ["7", "a,b", 'x"y']
    assert bad == []


def test_no_header_and_lines_above_it(shop):
    _, frame, _, _ = shop("7,2020-01-01,1\n", format={"header": ["who", "at", "paid"]})
    assert len(frame) == 1
    _, frame, _, _ = shop("export of May\n\n" + log(*GOOD), format={"skip_lines": 2})
    assert len(frame) == 2


@pytest.mark.parametrize(
    ("text", "form", "value"),
    [
        ("1234.5", {}, 1234.5),
        ("1.234,50", {"decimal": ",", "thousands": "."}, 1234.5),
        ("1 234,5", {"decimal": ",", "thousands": " "}, 1234.5),
        ("$12.00", {}, 12),
        ("12 €", {}, 12),
        ("1e2", {}, 100),
    ],
)
def test_numbers(shop, text, form, value):
    _, frame, _, _ = shop(f"who;at;paid\n7;2020-01-01;{text}\n", format={"separator": ";"} | form)
    assert frame["amount"].tolist() == [value]


@pytest.mark.parametrize("text", ["oops", "inf", "1,5", "12abc"])
def test_numbers_that_are_none(shop, text):
    _, _, bad, _ = shop(f"who;at;paid\n7;2020-01-01;{text}\n8;2020-01-01;1\n", format={"separator": ";"})
    assert [each["reason"] for each in bad] == ["amount cannot be read"]


@pytest.mark.parametrize("missing", ["", "NA", "null", "None", " "])
def test_missing_values(shop, missing):
    rows = (f"{missing},2020-01-01,1", f"7,{missing},1", f"7,2020-01-01,{missing}")
    _, frame, bad, _ = shop(log(*GOOD, *rows))
    assert [each["reason"] for each in bad] == ["customer_id is missing", "event_timestamp is missing", "amount is missing"]
    assert [each["line"] for each in bad] == ["4", "5", "6"]
    assert len(frame) == 2


def test_a_separator_at_the_end_of_lines_is_no_column(shop):
    _, frame, bad, _ = shop("who,at,paid,\n7,2020-01-01,1,\n8,2020-01-01,2\n")
    assert (len(frame), bad) == (2, [])


def test_ragged_lines_are_set_aside_with_their_text(shop):
    _, _, bad, _ = shop(log(*GOOD, "9,2020-01-01", "9,2020-01-01,1,2"))
    assert [(each["line"], each["reason"]) for each in bad] == [("4", "2 columns instead of 3"), ("5", "4 columns instead of 3")]
    assert bad[0]["row"] == "9 | 2020-01-01"


@pytest.mark.parametrize(
    ("text", "how", "zone", "wall"),
    [
        ("2020-03-29 02:30:00", {}, "Europe/Berlin", "2020-03-29 02:30"),  # an hour that the clock skipped: as written
        ("2020-01-01T23:30:00Z", {}, "Europe/Berlin", "2020-01-02 00:30"),
        ("2020-01-01T23:30:00-05:00", {}, "UTC", "2020-01-02 04:30"),
        ("20200105", {}, "UTC", "2020-01-05 00:00"),
        ("05.01.2020 13:45", {"format": "%d.%m.%Y %H:%M"}, "UTC", "2020-01-05 13:45"),
        ("2020-01-05 +0200", {"format": "%Y-%m-%d %z"}, "UTC", "2020-01-04 22:00"),
        ("1577880000", {"format": "epoch_s"}, "Asia/Tokyo", "2020-01-01 21:00"),
        ("1577880000000", {"format": "epoch_ms"}, "UTC", "2020-01-01 12:00"),
        ("2020-01-05 13:45", {"period": "day"}, "UTC", "2020-01-05 00:00"),
        ("2020-01-06", {"period": "week"}, "UTC", "2020-01-12 23:59:59.999999"),
        ("2020-01-12", {"period": "week", "stamped_at": "end"}, "UTC", "2020-01-12 23:59:59.999999"),
        ("2020-02-01", {"period": "month"}, "UTC", "2020-02-29 23:59:59.999999"),
        ("2020-02-29", {"period": "month", "stamped_at": "end"}, "UTC", "2020-02-29 23:59:59.999999"),
    ],
)
def test_stamps_are_the_shops_own_clock_and_a_period_counts_when_it_is_over(shop, text, how, zone, wall):
    _, frame, _, _ = shop(log(f"7,{text},1"), timestamps=how, timezone=zone)
    assert frame["event_timestamp"].tolist() == [pd.Timestamp(wall)]


def test_stamps_with_and_without_an_offset_in_one_file(shop):
    _, frame, _, _ = shop(log("7,2020-01-01T12:00:00Z,1", "8,2020-01-01T12:00:00,1"), timezone="Asia/Tokyo")
    assert sorted(frame["event_timestamp"]) == [pd.Timestamp("2020-01-01 12:00"), pd.Timestamp("2020-01-01 21:00")]


def test_midnight_of_the_shop_written_in_utc_falls_on_the_shops_own_day(shop):
    facts, _, _, _ = shop(log("7,2019-12-31T15:00:00Z,1", "7,2020-06-29T15:00:00Z,1"), timezone="Asia/Tokyo", timestamps={"period": "day"})
    assert (facts.first_day, facts.known_until) == ("2020-01-01", "2020-07-01T00:00:00")


def test_a_log_of_instants_is_known_to_its_last_instant(shop):
    facts, _, _, _ = shop(log("7,2020-01-01 10:00:00,1", "7,2020-01-05 11:30:00,1"))
    assert facts.known_until == "2020-01-05T11:30:00.000001"


def test_stamps_that_look_like_weeks_are_mentioned(shop):
    facts, _, _, _ = shop(log(*(f"7,{date(2020, 1, 6) + timedelta(weeks=n)},1" for n in range(9))))
    assert "timestamps.period: week" in facts.warnings[0]


def test_equal_rows_are_kept_where_nothing_tells_them_apart(shop):
    facts, frame, _, _ = shop(log(*GOOD, GOOD[0]))
    assert (facts.duplicate_rows, len(frame)) == (0, 3)


def test_equal_rows_of_one_transaction_are_dropped_and_counted(shop):
    rows = ("7,2020-01-01,1,A", "7,2020-01-01,1,A", "7,2020-01-01,2,A", "7,2020-01-01,1,B")
    columns = COLUMNS | {"transaction_id": "no"}
    facts, frame, _, _ = shop(log(*rows, head="who,at,paid,no"), columns=columns)
    assert (facts.duplicate_rows, len(frame)) == (1, 3)
    assert "lines: sum" in facts.warnings[-1]
    facts, frame, _, _ = shop(log(*rows, head="who,at,paid,no"), columns=columns, lines="sum")
    assert (facts.duplicate_rows, amounts(frame)) == (1, [1, 3])


@pytest.mark.parametrize(
    ("column", "values", "cancelled"),
    [
        ("c", ["True", "false", "1", "0", "yes", ""], [True, False, True, False, True, False]),
        ({"column": "c", "starts_with": "C"}, ["C1", "1C", "c1"], [True, False, False]),
        ({"column": "c", "values": ["Void"]}, ["void", "paid", ""], [True, False, False]),
    ],
)
def test_cancellations(shop, column, values, cancelled):
    rows = [f"{n},2020-01-01,5,{value}" for n, value in enumerate(values)] + ["x,2020-01-01,5,0"]
    _, frame, bad, _ = shop(log(*rows, head="who,at,paid,c"), columns=COLUMNS | {"is_cancel": column})
    assert frame["is_cancel"].tolist()[: len(cancelled)] == cancelled
    assert not (frame["is_purchase"] & frame["is_cancel"]).any()
    assert bad == []


@pytest.mark.parametrize(
    ("rules", "purchases", "returns"),
    [({}, [5], [-2]), ({"zero": "purchase"}, [0, 5], [-2]), ({"negative": "purchase"}, [-2, 5], []), ({"negative": "ignore"}, [5], [])],
)
def test_zero_and_negative_amounts_are_what_the_mapping_says(shop, rules, purchases, returns):
    _, frame, _, _ = shop(log("7,2020-01-01,5", "7,2020-01-02,0", "7,2020-01-03,-2"), amounts=rules)
    assert amounts(frame[frame["is_purchase"]]) == purchases
    assert amounts(frame[frame["is_cancel"]]) == returns


def test_without_amounts_every_row_is_a_purchase(shop):
    facts, frame, _, _ = shop("who,at\n7,2020-01-01\n", columns={"customer_id": "who", "event_timestamp": "at"})
    assert facts.purchases == 1
    assert frame["amount"].isna().all()


def test_ids_are_text_and_whole_numbers_are_whole(shop):
    _, frame, _, _ = shop(log("007,2020-01-01,1", "17850.0,2020-01-01,1", "A-1,2020-01-01,1"))
    assert frame["customer_id"].tolist() == ["007", "17850", "A-1"]


def test_parquet_of_many_types(shop, tmp_path):
    frame = pd.DataFrame(
        {
            "who": pd.array([1, None, 3], dtype="Float64"),
            "at": pd.to_datetime(["2020-01-01T23:00:00Z"] * 3),
            "paid": pd.array([1.5, 2, 3], dtype="float32"),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    _, read, bad, _ = shop((tmp_path / "log.parquet").read_bytes(), name="log.parquet", timezone="Europe/Berlin")
    assert read["customer_id"].tolist() == ["1", "3"]
    assert read["event_timestamp"].tolist() == [pd.Timestamp("2020-01-02 00:00")] * 2
    assert [each["reason"] for each in bad] == ["customer_id is missing"]
    days = pd.DataFrame({"who": ["a"], "at": [date(2020, 5, 1)], "paid": [1]})
    days.to_parquet(tmp_path / "days.parquet")
    assert shop((tmp_path / "days.parquet").read_bytes(), name="days.parquet")[1]["event_timestamp"].tolist() == [
        pd.Timestamp("2020-05-01")
    ]


def span(first, days, rows=10, step=1):
    return [(first + timedelta(days=n), rows) for n in range(0, days, step)]


@pytest.mark.parametrize("stray", [date(2099, 1, 1), date(1970, 1, 1), date(1900, 1, 1), date(2021, 6, 1)])
def test_a_date_far_beyond_the_others_is_a_bad_row(stray):
    good = span(date(2020, 1, 1), 365)
    assert plausible_days(sorted([*good, (stray, 1)])) == (good[0][0], good[-1][0])


def test_a_quiet_month_and_a_new_start_are_no_typing_error():
    good = span(date(2020, 1, 1), 100) + span(date(2020, 7, 1), 100)
    assert plausible_days(good) == (good[0][0], good[-1][0])


@pytest.mark.parametrize("step", [7, 30])
def test_weekly_and_monthly_logs_have_no_strays(step):
    good = span(date(2020, 1, 1), 700, step=step)
    assert plausible_days(good) == (good[0][0], good[-1][0])


def test_the_datasets_file_names_the_days():
    good = span(date(2020, 1, 1), 365)
    assert plausible_days(good, "2020-02-01", "2020-03-01") == (date(2020, 2, 1), date(2020, 3, 1))


def test_a_stray_date_is_not_the_end_of_the_data(shop):
    rows = [f"{n % 50},{date(2020, 1, 1) + timedelta(days=n % 300)},1" for n in range(1200)]
    facts, _, bad, _ = shop(log(*rows, "9,2099-01-01,1", "9,1900-01-01,1"))
    assert facts.known_until.startswith("2020-10-26")
    assert {each["reason"] for each in bad} == {"event_timestamp lies far beyond the others (2020-01-01 to 2020-10-26)"}


def test_thousands_of_bad_rows_pass_under_the_share_and_fail_over_it(shop):
    good = [f"{n},2020-01-{n % 28 + 1:02},1" for n in range(20_000)]
    bad = [f"{n},nonsense,1" for n in range(3_000)]
    facts, _, _, _ = shop(log(*good, *bad), quality={"max_rejected_share": 0.2})
    assert facts.rejected_rows == 3_000
    with pytest.raises(
        InputError, match=r"3,000 of 23,000 rows are bad \(13\.0%\).*3,000 event_timestamp cannot be read \(first: line 20002"
    ):
        shop(log(*good, *bad), quality={"max_rejected_share": 0.1})


@pytest.mark.parametrize(
    ("content", "mapping", "words"),
    [
        ("a,b\n1,2\n", {}, r"no column 'who' \(mapped to customer_id\).*it has 'a', 'b'"),
        ("", {}, "is empty"),
        ("who,at,paid\n", {}, "has no rows"),
        (log("7,2020-01-01,0"), {}, "none of its 1 good rows is a purchase"),
        (b"PAR1nonsense", {}, "not a whole Parquet file"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(shop, content, mapping, words):
    with pytest.raises(InputError, match=words) as caught:
        shop(content, **mapping)
    assert "\n" not in str(caught.value)


def test_a_cut_off_gzip_is_one_clear_line(shop):
    with pytest.raises(InputError, match="cannot be read to its end"):
        shop(gzip.compress(log(*GOOD * 500).encode())[:-20], name="log.csv.gz")


def test_a_source_that_changed_since_the_run_looked_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(log(*GOOD))
    rules = DatasetMapping.of({"name": "shop", "columns": COLUMNS}, "shop.yaml")
    seen = module.fingerprint_sources(str(path), "")
    where = {"rejects": tmp_path / "bad.csv", "page": tmp_path / "page.html"}
    prepare(rules, str(path), "", out=tmp_path / "same", content=seen, **where)
    path.write_text(log(*GOOD, GOOD[0]))
    with pytest.raises(StateError, match="changed while the run was reading it"):
        prepare(rules, str(path), "", out=tmp_path / "other", content=seen, **where)
    assert not (tmp_path / "other" / "MANIFEST.json").exists()  # without its seal nobody reads it


def test_support_tickets(shop):
    rules = {"support_tickets": {"columns": {"customer_id": "c", "event_timestamp": "t"}}}
    facts, _, bad, out = shop(log(*GOOD), tickets="c,t\n7,2020-01-01\n,2020-01-01\n8,never\n", **rules)
    assert facts.tickets == 1
    assert facts.rejected_rows == 0  # of the transactions
    assert [each["reason"].partition(":")[0] for each in bad] == ["ticket", "ticket"]
    assert pd.read_parquet(out / "tickets.parquet")["customer_id"].tolist() == ["7"]


def test_the_order_of_the_rows_does_not_matter(shop):
    rows = [f"{n % 7},2020-01-{n % 28 + 1:02},{n}" for n in range(200)]
    first, second = (shop(log(*order))[3] / "transactions.parquet" for order in (rows, rows[::-1]))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_bytes(b""), lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])]
)
def test_a_prepared_folder_that_was_changed_is_refused(shop, harm):
    out = shop(log(*GOOD))[3]
    Prepared.read(out)
    harm(out / "transactions.parquet")
    with pytest.raises(IntegrityError, match=r"transactions\.parquet"):
        Prepared.read(out)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"timezone": "Berlin"}, "timezone: is no time zone.*'Berlin'"),
        ({"colums": {}}, "colums is not a setting here"),
        ({"name": "My Shop"}, "name: should be lower-case"),
        ({"columns": {"customer_id": "a"}}, "columns.event_timestamp is missing"),
        ({"format": {"separator": "<>"}}, "format.separator"),
        ({"format": {"encoding": "klingon"}}, "format.encoding"),
        ({"timestamps": {"format": "dd.mm.yyyy"}}, "timestamps.format"),
        ({"timestamps": {"period": "year"}}, "timestamps.period"),
        ({"lines": "sum"}, "lines: sum needs columns.transaction_id"),
        ({"quality": {"max_rejected_share": 2}}, "quality.max_rejected_share"),
    ],
)
def test_a_wrong_mapping_is_one_line_that_names_the_field(values, words):
    with pytest.raises(ConfigError, match=words) as caught:
        DatasetMapping.of({"name": "shop", "columns": COLUMNS} | values, "shop.yaml")
    assert str(caught.value).startswith("shop.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nobody", "nobody.yaml"])
def test_a_dataset_that_is_not_there(name):
    with pytest.raises(ConfigError, match="nobody"):
        read_dataset(name)


def test_the_embedded_datasets_files_are_right():
    assert read_dataset("cdnow").churn["horizon_days"] == 90
    assert read_dataset("online-retail-ii").churn == {"horizon_days": 60, "test_snapshots": 5}


def test_every_error_of_the_family_is_one_line():
    assert str(ChurnError("a\n  b")) == "a b"


def test_the_page_on_the_quality_of_the_data(shop, tmp_path, monkeypatch):
    monkeypatch.undo()
    rows = [f"{n % 9},2020-01-{n % 28 + 1:02} 10:00:{n % 60:02},{'' if n % 5 == 0 else n}" for n in range(300)]
    facts, _, _, _ = shop(log(*rows))
    results = {check["name"]: check["passed"] for check in facts.quality}
    assert results["Column 'amount' missing values: Less or Equal 0.050"] is False
    assert results["Column 'customer_id' missing values: Less or Equal 0.050"] is True
    assert any(line.startswith("quality: Column 'amount'") for line in facts.said())
    assert "<html" in (tmp_path / "page.html").read_text()[:2000].lower()
