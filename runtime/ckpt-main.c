/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ckpt: the engine's own command, with CRIU's command line. Also installed under the name criu. */
#include <errno.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "runtime/cmd.h"

static const struct command {
	const char *name;
	enum verb verb;
	size_t max_words;			      /* behind the name */
	int (*run)(struct cli *cli, struct err *err); /* NULL: not there yet */
	const char *arguments, *help;
} commands[] = {
	{ "dump", VERB_DUMP, 0, cmd_dump, "-t PID [-D DIR]",
	  "write a tree of processes to images" },
	{ "restore", VERB_RESTORE, 0, cmd_restore, "[-D DIR]",
	  "make the tree of the images live again" },
	{ "check", VERB_CHECK, 0, cmd_check, "[--feature NAME]",
	  "say whether this kernel has what is needed" },
	{ "pre-dump", VERB_PRE_DUMP, 0, NULL, NULL, NULL },
	{ "page-server", VERB_PAGE_SERVER, 0, NULL, NULL, NULL },
	{ "lazy-pages", VERB_LAZY_PAGES, 0, NULL, NULL, NULL },
	{ "service", VERB_SERVICE, 0, cmd_service, "[--address PATH]",
	  "serve clients that connect to a socket" },
	{ "swrk", VERB_SWRK, 1, cmd_swrk, "FD",
	  "serve the client at the other end of this socket" },
	{ "dedup", VERB_DEDUP, 0, NULL, NULL, NULL },
	{ "cpuinfo", VERB_CPUINFO, 1, cmd_cpuinfo, "dump|check [-D DIR]",
	  "note the processor, or compare this one with the note" },
	{ "show", VERB_SHOW, SIZE_MAX, cmd_show, "FILE... [-F FIELDS]",
	  "show what is in image files" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *program = "ckpt";

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_commands(FILE *out)
{
	fprintf(out, "Usage: %s COMMAND [OPTION]...\n\nCommands:\n", program);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i].run)
			fprintf(out, "  %-8s %-18s %s\n", commands[i].name, commands[i].arguments,
				commands[i].help);
	fprintf(out, "\nKnown, but not supported yet:");
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!commands[i].run)
			fprintf(out, " %s", commands[i].name);
	fputc('\n', out);
}

static void print_help(const struct command *command)
{
	unsigned int verbs = command && command->run ? command->verb : VERB_ALL;

	if (command && command->run)
		printf("Usage: %s %s %s [OPTION]...\n\n%s: %s.\n", program, command->name,
		       command->arguments, command->name, command->help);
	else
		print_commands(stdout);
	printf("\nOptions (those that are on or off have a form --no-NAME):\n");
	opt_print_help(&cli_options, verbs, stdout);
	opt_print_others(&cli_options, verbs, stdout);
}

/* Commands and options for programs: completions and the list in the manual are made from it. */
static void print_table(void)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("command\t%s\t%u\t%s\t%s\n", commands[i].name, commands[i].verb,
		       commands[i].arguments ?: "", commands[i].help ?: "");
	opt_print_table(&cli_options, stdout);
}

/* The first line is what LXC and others parse. */
static void print_version(void)
{
	printf("Version: %s\n", ckpt_criu_version());
	printf("crun-criu: %s\n", ckpt_version());
}

static int no_command(struct err *err)
{
	int r = err_usage(err, "no command given");

	err_hint(err, "try '%s --help'", program);
	return r;
}

static int run_command(struct cli *cli, struct err *err)
{
	char **words = cli->rest.words.v;
	size_t n = cli->rest.words.n;
	const struct command *c = n ? find_command(words[0]) : NULL;
	int r;

	if (cli->version || cli->help) {
		cli->version ? print_version() : print_help(c);
		return 0;
	}
	if (n == 1 && strcmp(words[0], "option-table") == 0) {
		print_table();
		return 0;
	}
	if (!n)
		return no_command(err);
	if (!c) {
		r = err_usage(err, "unknown command '%s'", words[0]);
		err_hint(err, "try '%s --help'", program);
		return r;
	}
	if (n - 1 > c->max_words || (cli->rest.command && cli->rest.n_command && !cli->exec_cmd))
		return err_usage(err, "%s: '%s' is one word too many", c->name,
				 n - 1 > c->max_words ? words[1 + c->max_words]
						      : cli->rest.command[0]);
	if (!c->run)
		return err_refuse(err, "the command '%s' is not supported yet", c->name);
	r = cli_refuse_later(cli, c->verb, err);
	return r < 0 ? r : c->run(cli, err);
}

static void print_error(const struct err *err)
{
	fprintf(stderr, "%s: %s\n", program, err->text);
	if (err->hint[0])
		fprintf(stderr, "%s: hint: %s\n", program, err->hint);
}

/*
 * Who starts us may block and ignore what it likes (LXC blocks nearly everything); what we wait for
 * must come. That the reader of a log or a client is gone is told by errors.
 */
static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
}

/* By the name of CRIU, whose failures have one status, and whose callers may look at it. */
static int exit_status(const struct err *err)
{
	return strcmp(program, "criu") == 0 ? 1 : err_exit_status(err);
}

int main(int argc, char **argv)
{
	cleanup_cli struct cli cli;
	struct err err = ERR_INIT;
	int r;

	reset_signals();
	if (argc > 0 && strcmp(program_invocation_short_name, "criu") == 0)
		program = "criu";
	r = cli_parse(&cli, argc, argv, &err);
	if (r == 0)
		r = run_command(&cli, &err);
	if (r >= 0)
		return r;
	print_error(&err);
	return exit_status(&err);
}
