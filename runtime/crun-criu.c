/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crun-criu: a container runtime that can checkpoint and restore, over crun or runc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "oci/json.h"
#include "runtime/rt.h"

static const struct verb {
	const char *name;
	enum rt_verb bit;
	int (*run)(struct rt_options *o, const char *id, struct err *err);
	const char *help;
} verbs[] = {
	{ "checkpoint", RT_CHECKPOINT, rt_checkpoint, "write a running container to images" },
	{ "restore", RT_RESTORE, rt_restore, "make a container from images" },
	{ "plan", RT_PLAN, rt_plan,
	  "print what a checkpoint or a restore would ask of the engine" },
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void print_help(const struct verb *verb)
{
	if (verb) {
		printf("Usage: crun-criu [GLOBAL OPTION]... %s [OPTION]... CONTAINER\n\n%s: "
		       "%s.\n\nOptions:\n",
		       verb->name, verb->name, verb->help);
		opt_print_help(&rt_verb_options,
			       verb->bit == RT_PLAN ? RT_PLAN | RT_CHECKPOINT | RT_RESTORE
						    : verb->bit,
			       stdout);
		return;
	}
	printf("Usage: crun-criu [GLOBAL OPTION]... COMMAND [OPTION]...\n\nCommands:\n");
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-11s %s\n", verbs[i].name, verbs[i].help);
	printf("Every other command is handed to the container's runtime as it is.\n\nGlobal "
	       "options:\n");
	opt_print_help(&rt_global_options, RT_GLOBAL, stdout);
}

/* Callers such as containerd read the last line of the log to learn what went wrong. */
static void write_log(const struct rt_options *o, const struct err *err)
{
	cleanup_fd int fd = open(o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	cleanup_buf struct buf text = BUF_INIT, line = BUF_INIT;
	struct arena a = { 0 };
	struct json *top;
	struct err ignored = ERR_INIT;
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	if (fd < 0)
		return;
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	buf_printf(&text, "%s%s%s", err->text, err->hint[0] ? "; hint: " : "", err->hint);
	if (o->log_format && strcmp(o->log_format, "json") == 0) {
		top = json_put(&a, NULL, NULL, JSON_OBJECT);
		if (top && json_put_string(&a, top, "level", "error") &&
		    json_put_string(&a, top, "msg", text.data ?: "") &&
		    json_put_string(&a, top, "time", when) &&
		    json_write(top, false, &line, &ignored) == 0)
			buf_printf(&line, "\n");
	} else {
		buf_printf(&line, "%s: error: %s\n", when, text.data ?: "");
	}
	if (line.data && io_write_all(fd, line.data, line.len) < 0)
		fprintf(stderr, "crun-criu: writing to the log '%s' failed\n", o->log);
	arena_done(&a);
}

static int tell(const struct rt_options *o, const struct err *err)
{
	if (o->log)
		write_log(o, err);
	fprintf(stderr, "crun-criu: %s\n", err->text);
	if (err->hint[0])
		fprintf(stderr, "crun-criu: hint: %s\n", err->hint);
	return err_exit_status(err);
}

static int refuse_later(const struct rt_options *o, const struct verb *verb, struct err *err)
{
	cleanup_buf struct buf list = BUF_INIT;
	const struct opt **it;

	if (o->pre_dump)
		buf_printf(&list, "--pre-dump");
	else if (o->choices.parent_path && verb->bit != RT_RESTORE) /* the images say it then */
		buf_printf(&list, "--parent-path");
	vec_foreach (it, &o->rest.later)
		buf_printf(&list, "%s--%s", list.len ? ", " : "", (*it)->name);
	return list.len ? err_refuse(err, "not supported yet: %s", list.data) : 0;
}

/* argv[0] is the verb. */
static int run_verb(const struct verb *verb, struct rt_options *o, int argc, char **argv,
		    struct err *err)
{
	int r = opt_parse(&rt_verb_options, o, argc, argv, &o->rest, err);

	if (r < 0)
		return err_wrap(err, r, "%s", verb->name);
	if (o->help) {
		print_help(verb);
		return 0;
	}
	if (o->rest.words.n != 1) {
		r = err_usage(err, "%s: %s", verb->name,
			      o->rest.words.n ? "more than one container is named"
					      : "no container is named");
		err_hint(err, "try 'crun-criu %s --help'", verb->name);
		return r;
	}
	r = refuse_later(o, verb, err);
	return r == 0 ? verb->run(o, o->rest.words.v[0], err) : r;
}

int main(int argc, char **argv)
{
	struct rt_options o = { 0 };
	struct opt_rest rest;
	struct err err = ERR_INIT, unknown = ERR_INIT;
	const struct verb *verb = NULL;
	int r = opt_parse(&rt_global_options, &o, argc, argv, &rest, &unknown), i = rest.consumed;

	opt_rest_done(&rest);
	/* an option that we do not know is the runtime's business, and its error then */
	if (r == 0 && i < argc)
		verb = find_verb(argv[i]);
	if (r == 0 && o.help && (i == argc || verb)) {
		print_help(verb);
		return 0;
	}
	if (verb)
		r = run_verb(verb, &o, argc - i, argv + i, &err);
	else
		r = rt_pass(&o, argv, r == 0 && i < argc ? argv + i + 1 : NULL, &err);
	if (r < 0)
		r = tell(&o, &err);
	opt_rest_done(&o.rest);
	return r;
}
