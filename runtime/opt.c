/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines and configuration files by table. */
#include "runtime/opt.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"

/* A command line on its way. */
struct parser {
	const struct opt_table *table;
	void *target;
	struct opt_rest *rest;
	int argc, i;
	char **argv;
	struct err *err;
};

static bool takes_value(const struct opt *opt)
{
	return opt->value != NULL;
}

static bool needs_value(const struct opt *opt)
{
	return opt->value && opt->value[0] != '[';
}

const struct opt *opt_find(const struct opt_table *table, const char *name, size_t len)
{
	for (size_t i = 0; i < table->n; i++)
		if (strlen(table->v[i].name) == len && memcmp(table->v[i].name, name, len) == 0)
			return &table->v[i];
	return NULL;
}

const struct opt *opt_find_rpc(const struct opt_table *table, unsigned int field)
{
	for (size_t i = 0; field && i < table->n; i++)
		if (table->v[i].rpc == field)
			return &table->v[i];
	return NULL;
}

static const struct opt *find_letter(const struct opt_table *table, char letter)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].letter && table->v[i].letter == letter)
			return &table->v[i];
	return NULL;
}

/* The only option whose name begins so, or NULL. */
static const struct opt *find_beginning(const struct opt_table *table, const char *name, size_t len)
{
	const struct opt *found = NULL;

	for (size_t i = 0; len && i < table->n; i++) {
		if (strncmp(table->v[i].name, name, len) != 0)
			continue;
		if (found)
			return NULL;
		found = &table->v[i];
	}
	return found;
}

/* Looks a long name up; *ret_no says that it was negated. */
static const struct opt *find_long(const struct opt_table *table, const char *name, size_t len,
				   bool *ret_no)
{
	const struct opt *opt = opt_find(table, name, len);

	*ret_no = false;
	if (opt)
		return opt;
	if (len > 3 && strncmp(name, "no-", 3) == 0) {
		opt = opt_find(table, name + 3, len - 3);
		if (opt && !takes_value(opt) && opt->type != OPT_CALL) {
			*ret_no = true;
			return opt;
		}
	}
	return find_beginning(table, name, len);
}

int opt_number(const struct opt *opt, const char *value, long long min, long long max,
	       long long *ret, struct err *err)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(value, &end, 0);
	if (errno || end == value || *end)
		return err_usage(err, "--%s: expected a number, found '%s'", opt->name, value);
	if (v < min || v > max)
		return err_usage(err, "--%s: %lld is not in the range of %lld to %lld", opt->name,
				 v, min, max);
	*ret = v;
	return 0;
}

static int set_size(const struct opt *opt, const char *value, uint64_t *at, struct err *err)
{
	char *end;
	unsigned long long v;
	unsigned int shift = 0;

	errno = 0;
	v = strtoull(value, &end, 0);
	switch (*end) {
	case 'K':
	case 'k':
		shift = 10;
		break;
	case 'M':
	case 'm':
		shift = 20;
		break;
	case 'G':
	case 'g':
		shift = 30;
		break;
	}
	if (errno || end == value || value[0] == '-' || end[shift ? 1 : 0])
		return err_usage(
			err, "--%s: expected a size such as 1048576, 512K, 1M or 2G, found '%s'",
			opt->name, value);
	if (v << shift >> shift != v)
		return err_usage(err, "--%s: '%s' is too large", opt->name, value);
	*at = (uint64_t)v << shift;
	return 0;
}

static int set_flag(const struct opt *opt, const char *value, bool *at, struct err *err)
{
	if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
		*at = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
		*at = false;
	else
		return err_usage(err, "--%s is switched on or off (true, false), found '%s'",
				 opt->name, value);
	return 0;
}

static int note_later(struct opt_rest *rest, const struct opt *opt, struct err *err)
{
	const struct opt **it;

	vec_foreach (it, &rest->later)
		if (*it == opt)
			return 0;
	it = vec_add(&rest->later);
	if (!it)
		return err_nomem(err);
	*it = opt;
	return 0;
}

int opt_apply(const struct opt *opt, void *target, const char *value, struct opt_rest *rest,
	      struct err *err)
{
	void *at = (char *)target + opt->offset;
	long long number = 0;
	int r;

	switch (opt->type) {
	case OPT_FLAG:
		return set_flag(opt, value, at, err);
	case OPT_STRING:
		*(const char **)at = value;
		return 0;
	case OPT_UINT:
		r = opt_number(opt, value, 0, UINT_MAX, &number, err);
		if (r == 0)
			*(unsigned int *)at = (unsigned int)number;
		return r;
	case OPT_SIZE:
		return set_size(opt, value, at, err);
	case OPT_CALL:
		return opt->set(target, opt, value, err);
	case OPT_NOTHING:
		return 0;
	case OPT_LATER:
		/* switched off, it is as if it were not there */
		return value && strcmp(value, "false") == 0 && !takes_value(opt)
			       ? 0
			       : note_later(rest, opt, err);
	}
	return err_new(err, ERR_INTERNAL, -EINVAL, "option '%s' has no type", opt->name);
}

static int unknown(struct parser *p, const char *text)
{
	int r = err_usage(p->err, "unknown option '%s'", text);

	err_hint(p->err, "try '%s --help'", p->table->program);
	return r;
}

/* A value that is not attached is the next word. */
static int next_value(struct parser *p, const struct opt *opt, const char *spelled,
		      const char **ret)
{
	int r;

	if (p->i + 1 < p->argc) {
		*ret = p->argv[++p->i];
		return 0;
	}
	r = err_usage(p->err, "option '%s' requires an argument", spelled);
	err_hint(p->err, "try '%s --help'", p->table->program);
	return r;
}

static int take_long(struct parser *p, const char *text, const char *name)
{
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	bool no;
	const struct opt *opt = find_long(p->table, name, len, &no);
	int r;

	if (!opt)
		return unknown(p, text);
	if (no) {
		if (value)
			return err_usage(p->err, "option '%s' takes no value", text);
		value = "false";
	} else if (value && !takes_value(opt) && opt->type == OPT_CALL) {
		return err_usage(p->err, "option '--%s' takes no value", opt->name);
	} else if (!value && needs_value(opt)) {
		r = next_value(p, opt, text, &value);
		if (r < 0)
			return r;
	}
	return opt_apply(opt, p->target, value, p->rest, p->err);
}

/* "-t", "-t12", "-Rj", "-vvvv": letters up to the first that takes a value. */
static int take_letters(struct parser *p, const char *text)
{
	for (const char *c = text + 1; *c; c++) {
		const struct opt *opt = find_letter(p->table, *c);
		const char *value = NULL;
		bool last = false;
		int r;

		if (!opt)
			return unknown(p, text);
		if (takes_value(opt)) {
			last = c[1] != '\0';
			value = last ? c + 1 : NULL;
			if (!value && needs_value(opt)) {
				r = next_value(p, opt, text, &value);
				if (r < 0)
					return r;
			}
		}
		r = opt_apply(opt, p->target, value, p->rest, p->err);
		if (r < 0 || last)
			return r;
	}
	return 0;
}

static int take_word(struct parser *p)
{
	char **it = vec_add(&p->rest->words);

	if (!it)
		return err_nomem(p->err);
	*it = p->argv[p->i];
	return 0;
}

static int take_option(struct parser *p)
{
	const char *text = p->argv[p->i];
	bool no;

	if (text[1] == '-')
		return take_long(p, text, text + 2);
	/* One dash and the whole name of an option, as Go programs write it. */
	if (text[2] && (opt_find(p->table, text + 1, strcspn(text + 1, "=")) ||
			(strncmp(text + 1, "no-", 3) == 0 &&
			 find_long(p->table, text + 1, strcspn(text + 1, "="), &no))))
		return take_long(p, text, text + 1);
	return take_letters(p, text);
}

int opt_parse(const struct opt_table *table, void *target, int argc, char **argv,
	      struct opt_rest *ret, struct err *err)
{
	struct parser p = { .table = table,
			    .target = target,
			    .rest = ret,
			    .argc = argc,
			    .argv = argv,
			    .err = err };
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (p.i = 1; r == 0 && p.i < argc; p.i++) {
		const char *text = argv[p.i];

		if (strcmp(text, "--") == 0) {
			ret->command = argv + p.i + 1;
			ret->n_command = (size_t)(argc - p.i - 1);
			p.i = argc;
			break;
		}
		if (text[0] == '-' && text[1])
			r = take_option(&p);
		else if (table->stop_at_word)
			break;
		else
			r = take_word(&p);
	}
	ret->consumed = p.i > argc ? argc : p.i;
	return r;
}

void opt_rest_done(struct opt_rest *rest)
{
	vec_free(&rest->words);
	vec_free(&rest->later);
}

/* Cuts the first word off a line; quotes hold blanks, \" is a quote. NULL at the end. */
static char *cut_word(char **line, const char *stops)
{
	char *in = *line + strspn(*line, " \t\r"), *start = in, *out = in;
	bool quoted = *in == '"';

	if (!*in || *in == '#')
		return NULL;
	for (in += quoted; *in; in++) {
		if (quoted && in[0] == '\\' && in[1] == '"')
			in++;
		else if (quoted ? *in == '"' : strchr(stops, *in) != NULL)
			break;
		*out++ = *in;
	}
	if (*in)
		in++;
	*out = '\0';
	*line = in;
	return start;
}

static int config_line(const struct opt_table *table, void *target, char *line,
		       struct opt_rest *rest, struct err *err)
{
	char *name = cut_word(&line, " \t\r="), *value, *more;
	const struct opt *opt;
	bool no;
	int r;

	if (!name)
		return 0;
	opt = find_long(table, name, strlen(name), &no);
	if (!opt || opt->verbs & table->line_only) {
		r = err_usage(err, "unknown option '%s'", name);
		err_hint(err, "options are written without dashes, one a line");
		return r;
	}
	line += strspn(line, " \t\r");
	if (*line == '=')
		line++;
	value = cut_word(&line, " \t\r");
	more = value ? cut_word(&line, " \t\r") : NULL;
	if (more)
		return err_usage(err, "option '%s': '%s' is one word too many", name, more);
	if (!value && needs_value(opt))
		return err_usage(err, "option '%s' requires an argument", name);
	if (value && (no || (!takes_value(opt) && opt->type == OPT_CALL)))
		return err_usage(err, "option '%s' takes no value", name);
	return opt_apply(opt, target, no ? "false" : value, rest, err);
}

int opt_parse_config(const struct opt_table *table, void *target, const char *file, char *text,
		     struct opt_rest *ret, struct err *err)
{
	char *line;
	int number = 0, r = 0;

	while (r == 0 && (line = strsep(&text, "\n"))) {
		number++;
		r = config_line(table, target, line, ret, err);
	}
	return r < 0 ? err_wrap(err, r, "configuration file '%s', line %d", file, number) : 0;
}

#define HELP_COLUMN 28
#define HELP_WIDTH 80

/* Puts words behind one another from a column on. */
static void print_wrapped(const char *text, FILE *out)
{
	int column = HELP_COLUMN;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + n > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", n, text);
		column += n;
		text += n;
		text += *text == ' ';
	}
	fputc('\n', out);
}

static int print_name(const struct opt *opt, FILE *out)
{
	const char *value = opt->value ?: "";
	int n = opt->letter ? fprintf(out, "  -%c, --%s", opt->letter, opt->name)
			    : fprintf(out, "      --%s", opt->name);

	if (value[0] == '[')
		n += fprintf(out, "[=%s", value + 1);
	else if (value[0])
		n += fprintf(out, " %s", value);
	return n;
}

void opt_print_help(const struct opt_table *table, unsigned int verbs, FILE *out)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct opt *opt = &table->v[i];
		int n;

		if (!opt->help || !(opt->verbs & verbs) || opt->type == OPT_LATER)
			continue;
		n = print_name(opt, out);
		if (n >= HELP_COLUMN - 1) {
			fputc('\n', out);
			n = 0;
		}
		fprintf(out, "%*s", HELP_COLUMN - n, "");
		print_wrapped(opt->help, out);
	}
}

static const char *state_of(const struct opt *opt)
{
	if (opt->type == OPT_LATER)
		return "later";
	if (opt->type == OPT_NOTHING)
		return "nothing";
	return opt->help ? "shown" : "old";
}

static void print_names(const struct opt_table *table, unsigned int verbs, const char *state,
			const char *title, FILE *out)
{
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].verbs & verbs && strcmp(state_of(&table->v[i]), state) == 0)
			buf_printf(&text, "%s--%s", text.len ? " " : "", table->v[i].name);
	if (text.len) {
		fprintf(out, "\n%s:\n%*s", title, HELP_COLUMN, "");
		print_wrapped(text.data, out);
	}
	buf_done(&text);
}

void opt_print_others(const struct opt_table *table, unsigned int verbs, FILE *out)
{
	print_names(table, verbs, "later", "Known, but not supported yet", out);
	print_names(table, verbs, "nothing", "Accepted, and without effect by themselves", out);
	print_names(table, verbs, "old", "Old spellings", out);
}

void opt_print_table(const struct opt_table *table, FILE *out)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct opt *opt = &table->v[i];

		fprintf(out, "option\t%s\t%.1s\t%s\t%u\t%u\t%s\t%s\n", opt->name,
			opt->letter ? &opt->letter : "", opt->value ?: "", opt->verbs, opt->rpc,
			state_of(opt), opt->help ?: "");
	}
}
