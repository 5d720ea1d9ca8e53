/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oci/json.h"

#include "tests/lib/test.h"

static int parse_bytes(struct arena *a, const char *text, size_t len, struct json **ret,
		       struct err *err)
{
	return json_parse(a, "x.json", text, len, ret, err);
}

static int parse(struct arena *a, const char *text, struct json **ret, struct err *err)
{
	return parse_bytes(a, text, strlen(text), ret, err);
}

/* A document that must be refused, and what the error must say. */
static void refused(const char *text, size_t len, const char *why)
{
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *top = NULL;

	check_int(parse_bytes(&a, text, len, &top, &err), -EBADMSG);
	check_int(err.class, ERR_IMAGE);
	check(!top);
	if (!strstr(err.text, why))
		check_str(err.text, why);
	arena_done(&a);
}

TEST(values_keep_type_order_and_text)
{
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *top;

	if (!check_int(parse(&a,
			     "{\"z\": 18446744073709551616, \"a\": [null, true, \"x\\ny\"], "
			     "\"e\": {}, \"f\": -0.5e3}",
			     &top, &err),
		       0))
		return;
	check_int(top->type, JSON_OBJECT);
	check_int(top->n, 4);
	check_str(top->first->key, "z");
	check_str(top->first->text, "18446744073709551616");
	check_str(json_get(top, "a")->last->text, "x\ny");
	check_int(json_get(top, "a")->first->type, JSON_NULL);
	check(json_get(top, "a")->first->next->truth);
	check_int(json_get(top, "e")->n, 0);
	check_str(json_get(top, "f")->text, "-0.5e3");
	check(!json_get(top, "none"));
	check(!json_get(json_get(top, "z"), "z"));
	check(!json_get(NULL, "z"));
	arena_done(&a);
}

TEST(writing_gives_back_what_was_read)
{
	static const char text[] = "{\"z\":18446744073709551616,\"a\":[null,true,\"x\\ny\\\"\"],"
				   "\"e\":{},\"l\":[],\"f\":-0.5e3,\"\xc3\xa4\":\"\xe2\x82\xac\"}";
	cleanup_buf struct buf b = BUF_INIT;
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *top;

	if (!check_int(parse(&a, text, &top, &err), 0))
		return;
	check_int(json_write(top, false, &b, &err), 0);
	check_str(b.data, text);
	arena_done(&a);
}

TEST(built_values)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *top = json_put(&a, NULL, NULL, JSON_OBJECT);

	json_put_int(&a, top, "i", -5);
	json_put_uint(&a, top, "u", UINT64_MAX);
	json_put_string(&a, top, "s", "old");
	json_put_bool(&a, top, "b", true);
	json_put_string(&a, top, "s", json_get(top, "s")->text);
	json_put_string(&a, top, "i", "now text");
	json_put_string(&a, json_put(&a, top, "l", JSON_ARRAY), NULL, "one");
	json_put(&a, top, "b", JSON_ARRAY);
	check_int(json_write(top, false, &b, &err), 0);
	check_str(b.data, "{\"i\":\"now text\",\"u\":18446744073709551615,\"s\":\"old\",\"b\":[],"
			  "\"l\":[\"one\"]}");
	arena_done(&a);
}

TEST(bytes_that_are_no_utf8_become_a_mark)
{
	static const char *const cases[][2] = {
		{ "a\xff"
		  "b",
		  "\"a\xef\xbf\xbd"
		  "b\"" },
		{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
		{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buf struct buf b = BUF_INIT;
		struct arena a = { 0 };
		struct err err = ERR_INIT;

		check_int(json_write(json_put_string(&a, NULL, NULL, cases[i][0]), false, &b, &err),
			  0);
		check_str(b.data, cases[i][1]);
		arena_done(&a);
	}
}

TEST(broken_documents)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "premature EOF" },
		{ " \n", "premature EOF" },
		{ "{", "not valid JSON" },
		{ "{\"a\": ", "not valid JSON" },
		{ "{\"a\": \"unterminated", "not valid JSON" },
		{ "[1, 2", "not valid JSON" },
		{ "[1, 2,]", "not valid JSON" },
		{ "{\n\"a\": 1,\n\"b\": oops\n}", "line 3: not valid JSON" },
		{ "{} {}", "not valid JSON" },
		{ "{}x", "not valid JSON" },
		{ "{'a': 1}", "not valid JSON" },
		{ "{\"a\" 1}", "not valid JSON" },
		{ "[01]", "not valid JSON" },
		{ "[-]", "not valid JSON" },
		{ "[\"\xff\"]", "not valid JSON" },
		{ "[\"a\nb\"]", "not valid JSON" },
		{ "[\"\\q\"]", "not valid JSON" },
		{ "[\"\\u12\"]", "not valid JSON" },
		{ "[nul]", "not valid JSON" },
		{ "\xef\xbb\xbf{}", "not valid JSON" },
		{ "{\"a\": {\"b\": [0, {\"c\": 1, \"d\": 2, \"c\": 3}]}}",
		  "a.b[1].c: this key is there twice" },
		{ "{\"a\": 1, \"a\": 1}", "a: this key is there twice" },
		{ "{\"a\": [\"x\\u0000y\"]}", "a[0]: a string with a zero byte" },
		{ "{\"a\": {\"x\\u0000\": 1}}", "a: a key with a zero byte" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i].text, strlen(cases[i].text), cases[i].why);
	refused("{\"a\":\0 1}", 8, "not valid JSON");
	refused("{}\0", 3, "not valid JSON");
}

/* depth times open, then depth times close */
static char *nested(const char *open, const char *close, size_t depth)
{
	char *text = malloc(depth * (strlen(open) + strlen(close)) + 1), *p = text;

	for (size_t i = 0; i < depth; i++)
		p = stpcpy(p, open);
	for (size_t i = 0; i < depth; i++)
		p = stpcpy(p, close);
	return text;
}

TEST(depth_is_limited)
{
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *top;
	char *text = nested("[", "]", JSON_MAX_DEPTH);

	check_int(parse(&a, text, &top, &err), 0);
	free(text);
	text = nested("[", "]", JSON_MAX_DEPTH + 1);
	refused(text, strlen(text), "nested too deep");
	free(text);
	text = nested("{\"k\":", "}", 500000);
	refused(text, strlen(text), "nested too deep");
	free(text);
	text = nested("[", "", 1000000);
	refused(text, strlen(text), "nested too deep");
	free(text);
	arena_done(&a);
}

TEST(size_and_number_of_values_are_limited)
{
	size_t len = JSON_MAX_BYTES + 1;
	char *text = malloc(len + 1);

	memset(text, ' ', len);
	text[len] = '\0';
	refused(text, len, "more than the");
	text[0] = '[';
	for (size_t i = 1; i + 1 < len; i += 2)
		memcpy(text + i, "1,", 2);
	refused(text, JSON_MAX_BYTES, "too many values");
	free(text);
}

static void check_path(const char *text, const char *const *steps, const char *expected)
{
	struct arena a = { 0 };
	struct err err = ERR_INIT;
	struct json *val;
	char path[64];

	if (check_int(parse(&a, text, &val, &err), 0)) {
		for (; *steps; steps++)
			val = (*steps)[0] ? json_get(val, *steps) : val->last;
		json_path(val, path, sizeof(path));
		check_str(path, expected);
	}
	arena_done(&a);
}

TEST(paths)
{
	check_path("{}", (const char *const[]){ NULL }, "");
	check_path("{\"a\":{\"b\":[1,{\"c\":2}]}}",
		   (const char *const[]){ "a", "b", "", "c", NULL }, "a.b[1].c");
	check_path("[[5]]", (const char *const[]){ "", "", NULL }, "[0][0]");
	check_path("{\"io.x\":{\"y\\u001b\":1}}", (const char *const[]){ "io.x", "y\x1b", NULL },
		   "[\"io.x\"].y?");
	check_path(
		"{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":{\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\":1}}",
		(const char *const[]){ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
				       "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", NULL },
		"....bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
}

TEST(quotes_are_cut_and_made_printable)
{
	char out[16];

	json_quote("abc", 10, out, sizeof(out));
	check_str(out, "abc");
	json_quote("a\nb\x7f", 10, out, sizeof(out));
	check_str(out, "a?b?");
	json_quote("0123456789", 4, out, sizeof(out));
	check_str(out, "0123...");
	json_quote("0123456789abcdefgh", 100, out, sizeof(out));
	check_str(out, "0123456789ab...");
}

TEST_MAIN()
