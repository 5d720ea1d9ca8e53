/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's options, each described once: how CRIU's command line and configuration files spell
 * it, which commands act on it, where it goes in struct ckpt_options, and what it does.
 */
#pragma once

#include "engine/base/arena.h"
#include "engine/base/vec.h"
#include "engine/engine.h"
#include "runtime/opt.h"

/* The commands, as bits. An option that a command does not act on is accepted and does nothing. */
enum verb {
	VERB_DUMP = 1 << 0,
	VERB_PRE_DUMP = 1 << 1,
	VERB_RESTORE = 1 << 2,
	VERB_CHECK = 1 << 3,
	VERB_PAGE_SERVER = 1 << 4,
	VERB_LAZY_PAGES = 1 << 5,
	VERB_SERVICE = 1 << 6,
	VERB_SWRK = 1 << 7,
	VERB_DEDUP = 1 << 8,
	VERB_CPUINFO = 1 << 9,
	VERB_SHOW = 1 << 10,
	VERB_ALL = (1 << 11) - 1,
	VERB_COMMAND_LINE = 1 << 11, /* no verb: means something on the command line only */
};

/* What a command line gives: the engine's options, and those that are the command's own. */
struct cli {
	struct ckpt_options ckpt;

	struct arena arena; /* owns strings that are no words of argv */
	VEC(struct ckpt_pair) ext_mounts, cgroup_roots;
	VEC(const char *) externals, skip_mounts, irmap_scan_paths, enable_fs, features, scripts;
	VEC(struct ckpt_inherit_fd) inherit_fds;
	VEC(struct ckpt_join_ns) join_ns;

	int status_fd; /* -1: none */
	bool help, version, exec_cmd;
	bool check_extra, check_experimental, check_all;
	bool no_default_config;
	const char *config_file;
	VEC(const char *) show_files;
	const char *show_fields;
	bool show_json;
	const char *address;	 /* service: path of its socket */
	const char *socket_mode; /* service: permissions of that, in octal */

	struct opt_rest rest;	     /* words and unsupported options of the command line */
	struct opt_rest config_rest; /* the latter of the configuration files */
};

extern const struct opt_table cli_options;

/*
 * Reads the configuration files and then the command line; the later word wins, lists add up. Words
 * stay in cli->rest. cli->ckpt is complete afterwards. 0 or a negative errno with err filled;
 * cli_done() in either case.
 */
int cli_parse(struct cli *cli, int argc, char **argv, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Starts with what the configuration files say: the default ones, and the one named by
 * $CRIU_CONFIG_FILE. With no_default the latter alone. Files that are not there or may not be read
 * are left out. 0 or a negative errno with err filled; cli_done() in either case.
 */
int cli_start(struct cli *cli, bool no_default, struct err *err)
	__attribute__((warn_unused_result));

/* Reads one configuration file on top. One that cannot be read is an error if it is required. */
int cli_read_config(struct cli *cli, const char *path, bool required, struct err *err)
	__attribute__((warn_unused_result));

/* To be called after cli_read_config(): lets cli->ckpt point to the lists. */
void cli_settle(struct cli *cli);

/* Starts empty, for cli_read_config() alone. */
void cli_init(struct cli *cli);

/* Refuses by name, all at once, what was given and this command cannot do yet. */
int cli_refuse_later(const struct cli *cli, enum verb verb, struct err *err)
	__attribute__((warn_unused_result));

void cli_done(struct cli *cli);

static inline void cleanup_clip(struct cli *cli)
{
	cli_done(cli);
}
#define cleanup_cli __attribute__((cleanup(cleanup_clip)))
