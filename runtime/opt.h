/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines and configuration files by table. A table describes every option once; what is
 * parsed goes into a struct at the offsets that the table gives, and help texts are made from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/base/err.h"
#include "engine/base/vec.h"

/* The type of what stands at the offset is given in brackets. */
enum opt_type {
	OPT_FLAG,    /* [bool] --NAME, --no-NAME, --NAME=true|false */
	OPT_STRING,  /* [const char *] */
	OPT_UINT,    /* [unsigned int] */
	OPT_SIZE,    /* [uint64_t] bytes; K, M and G multiply by 1024 */
	OPT_CALL,    /* set() is called; there may be an offset for its use */
	OPT_NOTHING, /* accepted, and has nothing to act on */
	OPT_LATER,   /* known, but not supported: the caller refuses it by name */
};

/* A word starting with "[" is optional and only taken when attached: --NAME=WORD, -xWORD. */
struct opt {
	const char *name;
	unsigned int rpc; /* number of its field in a request; 0: none */
	char letter;	  /* 0: none */
	enum opt_type type;
	unsigned int verbs; /* bits, of the caller's choice */
	const char *value;  /* the word for its value in help texts; NULL: takes none */
	size_t offset;
	int (*set)(void *target, const struct opt *opt, const char *value, struct err *err);
	const char *help; /* NULL: not shown, an old spelling */
};

struct opt_table {
	const struct opt *v;
	size_t n;
	const char *program;	/* for hints: "try 'PROGRAM --help'" */
	bool stop_at_word;	/* options end at the first word that is none */
	unsigned int line_only; /* a bit of verbs: the option is not for configuration files */
};

/* What is left of a command line when its options are taken. */
struct opt_rest {
	VEC(char *) words;	       /* borrowed from argv, in their order */
	VEC(const struct opt *) later; /* OPT_LATER that were given, each once */
	char **command;		       /* the words behind "--", or NULL */
	size_t n_command;
	int consumed; /* words of argv that are done with, argv[0] among them */
};

/*
 * Parses argv[1] and following. Single-dash spellings of long options are understood ("-root DIR"),
 * as are unique beginnings of long names. Values are borrowed from argv. 0 or a negative errno with
 * err filled (ERR_USAGE); ret is to be freed in either case.
 */
int opt_parse(const struct opt_table *table, void *target, int argc, char **argv,
	      struct opt_rest *ret, struct err *err) __attribute__((warn_unused_result));

void opt_rest_done(struct opt_rest *rest);

/*
 * Parses the text of a configuration file: one option a line without dashes, "NAME", "NAME VALUE",
 * "NAME=VALUE", values in double quotes where they hold blanks, comments from "#". The text is
 * changed, and values are borrowed from it. file is for errors.
 */
int opt_parse_config(const struct opt_table *table, void *target, const char *file, char *text,
		     struct opt_rest *ret, struct err *err) __attribute__((warn_unused_result));

/*
 * Lets one option take effect, from wherever it comes. value is borrowed, and NULL for an option
 * that was given without one. 0 or a negative errno with err filled (ERR_USAGE).
 */
int opt_apply(const struct opt *opt, void *target, const char *value, struct opt_rest *rest,
	      struct err *err) __attribute__((warn_unused_result));

/* The option with that field in requests, or NULL. */
const struct opt *opt_find_rpc(const struct opt_table *table, unsigned int field);

/* The option of that long name, or NULL. */
const struct opt *opt_find(const struct opt_table *table, const char *name, size_t len);

/* Writes the options whose verbs have a bit of the mask, with their texts, in 80 columns. */
void opt_print_help(const struct opt_table *table, unsigned int verbs, FILE *out);

/* The same for those without a text: what is not supported, what has no effect, old spellings. */
void opt_print_others(const struct opt_table *table, unsigned int verbs, FILE *out);

/*
 * Writes every option as a line for programs: "option", name, letter, word for the value, verbs in
 * decimal, field of requests, "shown", "later", "nothing" or "old", text; tabs between.
 */
void opt_print_table(const struct opt_table *table, FILE *out);

/* A number, whole and in range, or an error that names the option. */
int opt_number(const struct opt *opt, const char *value, long long min, long long max,
	       long long *ret, struct err *err) __attribute__((warn_unused_result));
