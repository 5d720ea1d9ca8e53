/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the engine's options, and where their values come from. */
#include "runtime/options.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "runtime/options-set.h"

#define GLOBAL_CONFIG "/etc/criu/default.conf"
#define USER_CONFIG ".criu/default.conf"

#define DUMPS (VERB_DUMP | VERB_PRE_DUMP)
#define BOTH (DUMPS | VERB_RESTORE)
#define SERVERS (VERB_PAGE_SERVER | VERB_LAZY_PAGES | VERB_SERVICE)
#define TRANSFER (DUMPS | VERB_PAGE_SERVER | VERB_LAZY_PAGES)
#define LINE VERB_COMMAND_LINE

#define IN(member) offsetof(struct cli, member)
#define FLAG(opt_name, field, opt_verbs, member, text)                                \
	{                                                                             \
		.name = opt_name, .rpc = field, .type = OPT_FLAG, .verbs = opt_verbs, \
		.offset = IN(member), .help = text                                    \
	}
#define FLAG_L(opt_name, field, opt_letter, opt_verbs, member, text)                    \
	{                                                                               \
		.name = opt_name, .rpc = field, .letter = opt_letter, .type = OPT_FLAG, \
		.verbs = opt_verbs, .offset = IN(member), .help = text                  \
	}
#define TEXT(opt_name, field, opt_letter, opt_verbs, word, member, text)                  \
	{                                                                                 \
		.name = opt_name, .rpc = field, .letter = opt_letter, .type = OPT_STRING, \
		.verbs = opt_verbs, .value = word, .offset = IN(member), .help = text     \
	}
#define CALL(opt_name, field, opt_letter, opt_verbs, word, function, text)              \
	{                                                                               \
		.name = opt_name, .rpc = field, .letter = opt_letter, .type = OPT_CALL, \
		.verbs = opt_verbs, .value = word, .set = function, .help = text        \
	}
#define LIST(opt_name, field, opt_verbs, word, member, function, text)                \
	{                                                                             \
		.name = opt_name, .rpc = field, .type = OPT_CALL, .verbs = opt_verbs, \
		.value = word, .offset = IN(member), .set = function, .help = text    \
	}
#define NOTHING(opt_name, field, opt_verbs, word)                                        \
	{                                                                                \
		.name = opt_name, .rpc = field, .type = OPT_NOTHING, .verbs = opt_verbs, \
		.value = word                                                            \
	}
#define LATER(opt_name, field, opt_verbs, word)                                        \
	{                                                                              \
		.name = opt_name, .rpc = field, .type = OPT_LATER, .verbs = opt_verbs, \
		.value = word                                                          \
	}

static int set_word(void *target, const struct opt *opt, const char *value, struct err *err);

/* clang-format off */
static const struct opt options[] = {
	/* general */
	TEXT("images-dir", 68, 'D', VERB_ALL, "DIR", ckpt.images_dir,
	     "folder of the images (the current one)"),
	TEXT("work-dir", 17, 'W', VERB_ALL, "DIR", ckpt.work_dir,
	     "folder of log, statistics and pid file (that of the images)"),
	TEXT("log-file", 10, 'o', VERB_ALL, "FILE", ckpt.log_file,
	     "write the log to FILE in the work folder (standard error)"),
	CALL("verbosity", 9, 'v', VERB_ALL, "[LEVEL]", set_verbosity,
	     "what is logged: 0 nothing but messages, 1 errors, 2 warnings (default), 3 what is done, 4 everything; "
	     "-v is one level more, -v4 is level 4"),
	FLAG("display-stats", 70, BOTH, ckpt.display_stats, "show how long it took and how much there was"),
	TEXT("pidfile", 0, 0, BOTH | SERVERS, "FILE", ckpt.pidfile,
	     "write the pid of the restored root task to FILE"),
	LIST("action-script", 12, BOTH, "COMMAND", scripts, set_word,
	     "run COMMAND at every stage, named in CRTOOLS_SCRIPT_ACTION"),
	CALL("status-fd", 49, 0, BOTH | SERVERS, "FD", set_status_fd,
	     "write a zero byte to FD when a server of pages is ready"),
	CALL("close", 0, 0, VERB_ALL, "FD", set_close, "close descriptor FD first"),
	TEXT("config", 51, 0, VERB_ALL | LINE, "FILE", config_file, "read options from FILE, and not from the default files"),
	FLAG("no-default-config", 0, VERB_ALL | LINE, no_default_config,
	     "do not read " GLOBAL_CONFIG " and ~/" USER_CONFIG),
	FLAG("unprivileged", 67, BOTH | VERB_CHECK, ckpt.unprivileged,
	     "make do with CAP_CHECKPOINT_RESTORE"),
	FLAG_L("help", 0, 'h', VERB_ALL | LINE, help, "show this text"),
	FLAG_L("version", 0, 'V', VERB_ALL | LINE, version, "show the versions"),

	/* the tree, and what becomes of it */
	CALL("tree", 2, 't', BOTH, "PID", set_pid, "the root task of the tree to dump"),
	FLAG_L("leave-running", 3, 'R', DUMPS, ckpt.leave_running, "let the tree run on afterwards"),
	FLAG_L("leave-stopped", 69, 's', BOTH, ckpt.leave_stopped, "leave the tree stopped afterwards"),
	FLAG_L("restore-detached", 0, 'd', VERB_RESTORE | SERVERS, ckpt.restore_detached,
	       "do not wait for the restored tree to end"),
	FLAG("daemon", 0, VERB_RESTORE | SERVERS, ckpt.restore_detached, NULL),
	FLAG_L("restore-sibling", 26, 'S', VERB_RESTORE, ckpt.restore_sibling,
	       "restore the root task as a child of our parent (with --restore-detached)"),
	FLAG("exec-cmd", 22, VERB_RESTORE, exec_cmd,
	     "become the command behind '--', as the parent of the restored tree"),
	FLAG_L("shell-job", 7, 'j', BOTH, ckpt.shell_job,
	       "the tree shares session and terminal with its shell"),
	{ "timeout", 45, 0, OPT_UINT, DUMPS, "SECONDS", IN(ckpt.timeout_s), NULL,
	  "give up stopping the tree after SECONDS (10)" },
	TEXT("freeze-cgroup", 44, 0, DUMPS, "DIR", ckpt.freeze_cgroup,
	     "stop the tree by freezing this cgroup"),

	/* memory */
	FLAG("track-mem", 15, DUMPS, ckpt.track_mem, "note from now on which memory is written to"),
	TEXT("prev-images-dir", 14, 0, DUMPS, "DIR", ckpt.parent_images_dir,
	     "dump what changed since the images in DIR (relative to the images folder)"),
	FLAG("auto-dedup", 16, BOTH | VERB_PAGE_SERVER, ckpt.auto_dedup,
	     "drop memory from older images when newer ones have it"),
	FLAG("lazy-pages", 48, BOTH | VERB_PAGE_SERVER, ckpt.lazy_pages, "move memory after the restore, on demand"),
	FLAG("stream", 0, BOTH, ckpt.stream, "pass the images through a streamer"),
	LATER("pre-dump-mode", 61, VERB_PRE_DUMP, "splice|read"),
	LATER("page-server", 11, DUMPS | VERB_LAZY_PAGES, NULL),
	LATER("ps-socket", 0, TRANSFER, "FD"),
	TEXT("address", 0, 0, TRANSFER | VERB_SERVICE, "ADDRESS", address,
	     "service: path of its socket (./criu_service.socket)"),
	TEXT("socket-mode", 0, 0, VERB_SERVICE, "MODE", socket_mode,
	     "permissions of the service's socket (0600)"),
	NOTHING("port", 0, TRANSFER, "PORT"),
	LATER("tls", 58, TRANSFER, NULL),
	NOTHING("tls-cacert", 54, TRANSFER, "FILE"),
	NOTHING("tls-cacrl", 55, TRANSFER, "FILE"),
	NOTHING("tls-cert", 56, TRANSFER, "FILE"),
	NOTHING("tls-key", 57, TRANSFER, "FILE"),
	NOTHING("tls-no-cn-verify", 59, TRANSFER, NULL),

	/* files */
	FLAG_L("file-locks", 8, 'l', BOTH, ckpt.file_locks, "keep file locks"),
	FLAG("link-remap", 18, BOTH, ckpt.link_remap, "give deleted files a temporary name on disk"),
	{ "ghost-limit", 35, 0, OPT_SIZE, BOTH, "SIZE", IN(ckpt.ghost_limit_bytes), NULL,
	  "keep deleted files up to SIZE in the images (1M; K, M, G are understood)" },
	NOTHING("ghost-fiemap", 0, DUMPS, NULL),
	FLAG("evasive-devices", 6, BOTH, ckpt.evasive_devices,
	     "take any path of a device if its own is gone"),
	FLAG("force-irmap", 21, DUMPS, ckpt.force_irmap, "find names of watched files by searching"),
	LIST("irmap-scan-path", 36, DUMPS, "DIR", irmap_scan_paths, set_word,
	     "search watched files below DIR"),
	CALL("file-validation", 0, 0, BOTH, "METHOD", set_file_validation,
	     "how files are recognised: filesize (default) or buildid"),
	FLAG("skip-file-rwx-check", 66, VERB_RESTORE, ckpt.skip_file_rwx_check,
	     "accept files whose permissions have changed"),
	CALL("inherit-fd", 27, 0, VERB_RESTORE, "fd[N]:KEY", set_inherit_fd,
	     "put our descriptor N in the place of the file KEY of the images"),
	CALL("external", 37, 0, BOTH, "TYPE[ID]:VALUE", set_external,
	     "a resource from outside of the tree: mnt, dev, file, tty, unix, net, pid; on restore also veth, macvlan, netdev"),
	CALL("ext-unix-sk", 4, 'x', BOTH, "[INODE,...]", set_ext_unix_sk,
	     "keep unix sockets that are connected to the outside"),
	FLAG("allow-uprobes", 0, DUMPS, ckpt.allow_uprobes, "keep tasks in which uprobes are set"),
	TEXT("libdir", 0, 'L', BOTH, "DIR", ckpt.plugin_dir, "folder of plugins for what the engine does not know"),

	/* mounts */
	TEXT("root", 13, 'r', BOTH, "DIR", ckpt.root, "root file system of the restored tree"),
	CALL("ext-mount-map", 23, 'M', BOTH, "KEY:VALUE", set_ext_mount_map,
	     "a mount from outside, an old spelling of --external mnt[KEY]:VALUE; 'auto' finds them"),
	FLAG("enable-external-sharing", 29, BOTH, ckpt.ext_sharing, "with 'auto': mounts that share with the outside"),
	FLAG("enable-external-masters", 30, BOTH, ckpt.ext_masters, "with 'auto': mounts that are slaves of the outside"),
	LIST("skip-mnt", 31, BOTH, "PATH", skip_mounts, set_word, "leave the mount at PATH out"),
	LIST("enable-fs", 32, BOTH, "NAME,...", enable_fs, set_list,
	     "restore file systems of this type by mounting them anew; 'all' for every one"),
	FLAG("mntns-compat-mode", 65, VERB_RESTORE, ckpt.mntns_compat_mode, "build mounts in the old way"),
	TEXT("lsm-mount-context", 63, 0, VERB_RESTORE, "CONTEXT", ckpt.lsm_mount_context,
	     "SELinux context for restored mounts"),

	/* namespaces and network */
	CALL("empty-ns", 38, 0, BOTH, "net", set_empty_ns, "restore the network namespace empty"),
	CALL("join-ns", 39, 'J', VERB_RESTORE, "NS:FILE|PID", set_join_ns,
	     "enter this namespace (ipc, net, time, user, uts) in place of a new one"),
	FLAG("tcp-established", 5, BOTH, ckpt.tcp_established, "keep open TCP connections"),
	FLAG("tcp-close", 52, BOTH, ckpt.tcp_close, "close TCP connections"),
	FLAG("skip-in-flight", 46, DUMPS, ckpt.tcp_skip_in_flight, "leave connections that are being made out"),
	CALL("network-lock", 64, 0, BOTH, "METHOD", set_network_lock,
	     "how the network is held: iptables, nftables or skip"),
	FLAG("weak-sysctls", 47, BOTH, ckpt.weak_sysctls, "go on when a sysctl cannot be set"),
	CALL("veth-pair", 19, 0, VERB_RESTORE, "IN=OUT", set_veth_pair, NULL),

	/* cgroups */
	CALL("manage-cgroups", 34, 0, BOTH, "[MODE]", set_manage_cgroups,
	     "keep cgroups: none, props, soft (without a word), full, strict, ignore (default)"),
	CALL("cgroup-root", 25, 0, BOTH, "PATH", set_cgroup_root,
	     "put the tree's cgroups below PATH; CONTROLLERS:PATH is for one hierarchy"),
	LATER("cgroup-props", 41, BOTH, "TEXT"),
	LATER("cgroup-props-file", 42, BOTH, "FILE"),
	LATER("cgroup-dump-controller", 43, DUMPS, "NAME"),
	TEXT("cgroup-yard", 60, 0, BOTH, "DIR", ckpt.cgroup_yard,
	     "use the hierarchies that are mounted in DIR, each under its name (unified for cgroup2)"),

	/* processor and security modules */
	CALL("cpu-cap", 20, 0, BOTH | VERB_CPUINFO, "[LIST]", set_cpu_cap,
	     "note the processor at dump and compare it at restore: fpu, ins, cpu (every feature), all, none; ^ takes away"),
	TEXT("lsm-profile", 53, 0, VERB_RESTORE, "TYPE:NAME", ckpt.lsm_profile,
	     "security profile for restored tasks (apparmor:NAME, selinux:CONTEXT)"),

	/* check */
	LIST("feature", 0, VERB_CHECK, "NAME", features, set_word,
	     "ask for one feature: the exit status tells; 'list' shows the names"),
	FLAG("extra", 0, VERB_CHECK, check_extra, "check also what only some trees need"),
	FLAG("experimental", 0, VERB_CHECK, check_experimental, "check also what is not used yet"),
	CALL("all", 0, 0, VERB_CHECK, NULL, set_check_all, "both of these"),
	CALL("ms", 0, 0, VERB_CHECK, NULL, set_ms, NULL),

	/* show */
	{ .name = "file", .letter = 'f', .type = OPT_CALL, .verbs = VERB_SHOW | LINE, .value = "FILE",
	  .offset = IN(show_files), .set = set_word, .help = "show this image" },
	{ .name = "image", .letter = 'i', .type = OPT_CALL, .verbs = VERB_SHOW | LINE, .value = "FILE",
	  .offset = IN(show_files), .set = set_word },
	TEXT("fields", 0, 'F', VERB_SHOW | LINE, "PATH,...", show_fields,
	     "show these fields alone: names, with dots between those of nested ones"),
	FLAG("json", 0, VERB_SHOW | LINE, show_json, "show JSON instead of text"),

	/* what changes nothing here */
	NOTHING("deprecated", 0, VERB_ALL, NULL),
	LATER("log-pid", 0, BOTH, NULL),
};
/* clang-format on */

const struct opt_table cli_options = {
	.v = options,
	.n = sizeof(options) / sizeof(options[0]),
	.program = "ckpt",
	.line_only = VERB_COMMAND_LINE,
};

/* One word for the list at the offset. */
static int set_word(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct cli *cli = target;
	__typeof__(cli->features) *list = (void *)((char *)target + opt->offset);
	const char **it = vec_add(list);

	if (!it)
		return err_nomem(err);
	*it = value;
	return 0;
}

void cli_init(struct cli *cli)
{
	memset(cli, 0, sizeof(*cli));
	ckpt_options_init(&cli->ckpt);
	cli->status_fd = -1;
}

void cli_done(struct cli *cli)
{
	vec_free(&cli->ext_mounts);
	vec_free(&cli->cgroup_roots);
	vec_free(&cli->externals);
	vec_free(&cli->skip_mounts);
	vec_free(&cli->irmap_scan_paths);
	vec_free(&cli->enable_fs);
	vec_free(&cli->features);
	vec_free(&cli->scripts);
	vec_free(&cli->show_files);
	vec_free(&cli->inherit_fds);
	vec_free(&cli->join_ns);
	opt_rest_done(&cli->rest);
	opt_rest_done(&cli->config_rest);
	arena_done(&cli->arena);
}

void cli_settle(struct cli *cli)
{
	struct ckpt_options *o = &cli->ckpt;

	o->ext_mounts = (struct ckpt_pairs){ cli->ext_mounts.v, cli->ext_mounts.n };
	o->cgroup_roots = (struct ckpt_pairs){ cli->cgroup_roots.v, cli->cgroup_roots.n };
	o->externals = (struct ckpt_strings){ cli->externals.v, cli->externals.n };
	o->skip_mounts = (struct ckpt_strings){ cli->skip_mounts.v, cli->skip_mounts.n };
	o->irmap_scan_paths =
		(struct ckpt_strings){ cli->irmap_scan_paths.v, cli->irmap_scan_paths.n };
	o->enable_fs = (struct ckpt_strings){ cli->enable_fs.v, cli->enable_fs.n };
	o->inherit_fds = cli->inherit_fds.v;
	o->n_inherit_fds = cli->inherit_fds.n;
	o->join_ns = cli->join_ns.v;
	o->n_join_ns = cli->join_ns.n;
	if (cli->exec_cmd)
		o->exec_cmd = (struct ckpt_strings){ (const char *const *)cli->rest.command,
						     cli->rest.n_command };
}

int cli_read_config(struct cli *cli, const char *path, bool required, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *kept;
	int r = io_read_file(AT_FDCWD, path, &text);

	if (r < 0 && r != -ENOMEM && !required)
		return 0;
	if (r < 0)
		return err_sys(err, r, "reading the configuration file '%s'", path);
	/* values are borrowed from the text */
	kept = arena_dup(&cli->arena, text.data ?: "", text.len + 1);
	if (!kept)
		return err_nomem(err);
	return opt_parse_config(&cli_options, cli, path, kept, &cli->config_rest, err);
}

int cli_start(struct cli *cli, bool no_default, struct err *err)
{
	const char *home = getenv("HOME"), *named = getenv("CRIU_CONFIG_FILE"), *user;
	int r = 0;

	cli_init(cli);
	if (!no_default) {
		r = cli_read_config(cli, GLOBAL_CONFIG, false, err);
		user = home ? arena_printf(&cli->arena, "%s/%s", home, USER_CONFIG) : NULL;
		if (r == 0 && user)
			r = cli_read_config(cli, user, false, err);
	}
	if (r == 0 && named && *named)
		r = cli_read_config(cli, named, false, err);
	return r;
}

/* Which configuration files to read stands on the command line, which is parsed after them. */
static void look_ahead(int argc, char **argv, bool *ret_no_default, const char **ret_config)
{
	*ret_no_default = false;
	*ret_config = NULL;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--no-default-config") == 0)
			*ret_no_default = true;
		else if (strncmp(argv[i], "--config=", 9) == 0)
			*ret_config = argv[i] + 9;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			*ret_config = argv[++i];
	}
}

int cli_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
	bool no_default;
	const char *config;
	int r;

	look_ahead(argc, argv, &no_default, &config);
	/* a file that is named takes the place of the default ones */
	r = cli_start(cli, no_default || config, err);
	if (r == 0 && config)
		r = cli_read_config(cli, config, true, err);
	if (r == 0)
		r = opt_parse(&cli_options, cli, argc, argv, &cli->rest, err);
	cli_settle(cli);
	return r;
}

static size_t list_later(const struct opt_rest *rest, enum verb verb, size_t n, struct buf *list)
{
	const struct opt **it;

	vec_foreach (it, &rest->later)
		if ((*it)->verbs & verb)
			buf_printf(list, "%s--%s", n++ ? ", " : "", (*it)->name);
	return n;
}

int cli_refuse_later(const struct cli *cli, enum verb verb, struct err *err)
{
	cleanup_buf struct buf list = BUF_INIT;
	size_t n = list_later(&cli->config_rest, verb, 0, &list);

	n = list_later(&cli->rest, verb, n, &list);
	return n ? err_refuse(err, "not supported yet: %s", list.data) : 0;
}
