/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime/options.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

static struct cli cli;
static struct err err;

/* Parses a line of words with single blanks between; a "~" in a word stands for a blank. */
static int parse(const char *line)
{
	static char text[1024], *argv[64];
	int argc = 0;
	char *p = text;

	snprintf(text, sizeof(text), "ckpt --no-default-config %s", line);
	for (char *word; (word = strsep(&p, " ")) && argc < 63;) {
		if (!*word)
			continue;
		for (char *c = word; *c; c++)
			if (*c == '~')
				*c = ' ';
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	cli_done(&cli);
	memset(&err, 0, sizeof(err));
	unsetenv("CRIU_CONFIG_FILE");
	return cli_parse(&cli, argc, argv, &err);
}

TEST(long_and_short_spellings)
{
	check_int(parse("dump --tree 12 --images-dir=/i -W /w -olog"), 0);
	check_int(cli.ckpt.pid, 12);
	check_str(cli.ckpt.images_dir, "/i");
	check_str(cli.ckpt.work_dir, "/w");
	check_str(cli.ckpt.log_file, "log");
	check_int(cli.rest.words.n, 1);
	check_str(cli.rest.words.v[0], "dump");
	check_int(parse("-t12 -Rjl dump"), 0);
	check(cli.ckpt.leave_running && cli.ckpt.shell_job && cli.ckpt.file_locks);
	check_int(parse("restore -dS -jD/i"), 0);
	check(cli.ckpt.restore_detached && cli.ckpt.restore_sibling);
	check_str(cli.ckpt.images_dir, "/i");
}

TEST(unique_beginnings)
{
	check_int(parse("dump --leave-r --images /x"), 0);
	check(cli.ckpt.leave_running);
	check_str(cli.ckpt.images_dir, "/x");
	check_int(parse("dump --leave"), -EINVAL);
	check(strstr(err.text, "--leave") != NULL);
}

TEST(negation)
{
	check_int(parse("--tcp-established --no-tcp-established"), 0);
	check(!cli.ckpt.tcp_established);
	check_int(parse("--no-tcp-close --tcp-close"), 0);
	check(cli.ckpt.tcp_close);
	check_int(parse("--file-locks=true --link-remap=false"), 0);
	check(cli.ckpt.file_locks && !cli.ckpt.link_remap);
	check_int(parse("--file-locks=maybe"), -EINVAL);
	check_int(parse("--no-images-dir x"), -EINVAL);
}

TEST(verbosity)
{
	static const struct {
		const char *line;
		int level;
	} cases[] = {
		{ "", 2 },
		{ "-v", 3 },
		{ "-vv", 4 },
		{ "-vvvv", 4 },
		{ "-v4", 4 },
		{ "-v0", 0 },
		{ "-v1 -v", 2 },
		{ "--verbosity=4", 4 },
		{ "--verbosity", 3 },
		{ "-verbosity=0", 0 },
		{ "-jv1", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_int(parse(cases[i].line), 0);
		if (cli.ckpt.log_level != cases[i].level)
			test_fail(__FILE__, __LINE__, "'%s' gives %d", cases[i].line,
				  cli.ckpt.log_level);
	}
	check_int(parse("-vx"), -EINVAL);
}

TEST(sizes_and_numbers)
{
	check_int(parse("--ghost-limit 8M --timeout 30"), 0);
	check_int(cli.ckpt.ghost_limit_bytes, 8 << 20);
	check_int(cli.ckpt.timeout_s, 30);
	check_int(parse("--ghost-limit=1G"), 0);
	check_int(cli.ckpt.ghost_limit_bytes, 1 << 30);
	check_int(parse("--ghost-limit 512K"), 0);
	check_int(cli.ckpt.ghost_limit_bytes, 512 << 10);
	check_int(parse("--ghost-limit 17"), 0);
	check_int(cli.ckpt.ghost_limit_bytes, 17);
	check_int(parse("--ghost-limit 1X"), -EINVAL);
	check_int(parse("--ghost-limit -1"), -EINVAL);
	check_int(parse("--ghost-limit 1MM"), -EINVAL);
	check_int(parse("--ghost-limit 99999999999G"), -EINVAL);
	check_int(parse("-t 0"), -EINVAL);
	check_int(parse("-t 12x"), -EINVAL);
	check_int(parse("-t 99999999999"), -EINVAL);
	check_int(parse("--timeout -1"), -EINVAL);
}

TEST(errors_name_the_option)
{
	check_int(parse("dump --bogus"), -EINVAL);
	check_int(err.class, ERR_USAGE);
	check(strstr(err.text, "'--bogus'") != NULL);
	check(strstr(err.hint, "--help") != NULL);
	check_int(parse("dump -t"), -EINVAL);
	check(strstr(err.text, "requires an argument") != NULL);
	check_int(parse("dump --lsm-mount-context"), -EINVAL);
	check(strstr(err.text, "requires an argument") != NULL);
	check_int(parse("dump -q"), -EINVAL);
	check(strstr(err.text, "'-q'") != NULL);
}

TEST(external_resources)
{
	check_int(parse("--external mnt[/a]:b --external net[1]:c --veth-pair in=out "
			"--ext-unix-sk=5,6"),
		  0);
	check_int(cli.ckpt.externals.n, 5);
	check_str(cli.ckpt.externals.v[0], "mnt[/a]:b");
	check_str(cli.ckpt.externals.v[2], "veth[in]:out");
	check_str(cli.ckpt.externals.v[3], "unix[5]");
	check_str(cli.ckpt.externals.v[4], "unix[6]");
	check(cli.ckpt.ext_unix_sk);
	check_int(parse("-x -x7"), 0);
	check_int(cli.ckpt.externals.n, 1);
	check_int(parse("-xabc"), -EINVAL);
	check_int(parse("--veth-pair in"), -EINVAL);
}

TEST(external_mounts)
{
	check_int(
		parse("--ext-mount-map auto -M a:/b --ext-mount-map console: --external console:"),
		0);
	check(cli.ckpt.auto_ext_mounts);
	check_int(cli.ckpt.ext_mounts.n, 1);
	check_str(cli.ckpt.ext_mounts.v[0].key, "a");
	check_str(cli.ckpt.ext_mounts.v[0].val, "/b");
	check_int(parse("-M nocolon"), -EINVAL);
}

TEST(inherited_descriptors)
{
	check_int(parse("restore --inherit-fd fd[3]:pipe:[12] --inherit-fd fd[4]:tty[8801:3]"), 0);
	check_int(cli.ckpt.n_inherit_fds, 2);
	check_int(cli.ckpt.inherit_fds[0].fd, 3);
	check_str(cli.ckpt.inherit_fds[0].key, "pipe:[12]");
	check_str(cli.ckpt.inherit_fds[1].key, "tty[8801:3]");
	check_int(parse("restore --inherit-fd fd[]:x"), -EINVAL);
	check_int(parse("restore --inherit-fd fd[3]x"), -EINVAL);
	check_int(parse("restore --inherit-fd fd[3]:"), -EINVAL);
	check_int(parse("restore --inherit-fd fd[-3]:x"), -EINVAL);
	check_int(parse("restore --inherit-fd 3:x"), -EINVAL);
}

TEST(namespaces_to_join)
{
	check_int(parse("restore -J net:/run/ns --join-ns user:12,1,2 -J uts:7"), 0);
	check_int(cli.ckpt.n_join_ns, 3);
	check_str(cli.ckpt.join_ns[0].ns, "net");
	check_str(cli.ckpt.join_ns[0].file, "/run/ns");
	check(cli.ckpt.join_ns[0].extra == NULL);
	check_str(cli.ckpt.join_ns[1].file, "12");
	check_str(cli.ckpt.join_ns[1].extra, "1,2");
	check_str(cli.ckpt.join_ns[2].file, "7");
	check_int(parse("restore -J pid:7"), -EINVAL);
	check_int(parse("restore -J net"), -EINVAL);
	check_int(parse("restore -J net:7,1,1"), -EINVAL);
	check_int(parse("--empty-ns net"), 0);
	check_int(cli.ckpt.empty_ns, CLONE_NEWNET);
	check_int(parse("--empty-ns pid"), -EINVAL);
}

TEST(cgroups)
{
	check_int(parse("dump"), 0);
	check_int(cli.ckpt.cgroup_mode, CKPT_CG_IGNORE);
	check(!cli.ckpt.manage_cgroups);
	check_int(parse("dump --manage-cgroups"), 0);
	check_int(cli.ckpt.cgroup_mode, CKPT_CG_SOFT);
	check(cli.ckpt.manage_cgroups);
	check_int(parse("dump --manage-cgroups=full"), 0);
	check_int(cli.ckpt.cgroup_mode, CKPT_CG_FULL);
	check_int(parse("dump --manage-cgroups=ignore"), 0);
	check(!cli.ckpt.manage_cgroups);
	check_int(parse("dump --manage-cgroups=whatever"), -EINVAL);
	check_int(
		parse("restore --cgroup-root /new --cgroup-root name=x:/p --cgroup-root cpu,io:/q"),
		0);
	check_int(cli.ckpt.cgroup_roots.n, 3);
	check(cli.ckpt.cgroup_roots.v[0].key == NULL);
	check_str(cli.ckpt.cgroup_roots.v[0].val, "/new");
	check_str(cli.ckpt.cgroup_roots.v[1].key, "name=x");
	check_str(cli.ckpt.cgroup_roots.v[2].key, "cpu,io");
	check_str(cli.ckpt.cgroup_roots.v[2].val, "/q");
	check_int(parse("restore --cgroup-root new"), -EINVAL);
}

TEST(words_of_choice)
{
	check_int(parse("--network-lock nftables --file-validation buildid"), 0);
	check_int(cli.ckpt.network_lock, CKPT_LOCK_NFTABLES);
	check(cli.ckpt.file_validation_buildid);
	check_int(parse("--network-lock none"), 0);
	check_int(cli.ckpt.network_lock, CKPT_LOCK_SKIP);
	check_int(parse("--network-lock magic"), -EINVAL);
	check_int(parse("--enable-fs hugetlbfs,tracefs --enable-fs nfsd --skip-mnt /a --skip-mnt "
			"/b,c"),
		  0);
	check_int(cli.ckpt.enable_fs.n, 3);
	check_str(cli.ckpt.enable_fs.v[1], "tracefs");
	check_int(cli.ckpt.skip_mounts.n, 2);
	check_str(cli.ckpt.skip_mounts.v[1], "/b,c");
}

TEST(command_behind_dashes)
{
	check_int(parse("restore --exec-cmd -- sh -c true"), 0);
	check_int(cli.ckpt.exec_cmd.n, 3);
	check_str(cli.ckpt.exec_cmd.v[1], "-c");
	check_int(cli.rest.words.n, 1);
}

TEST(unsupported_ones_are_refused_where_they_act)
{
	check_int(parse("dump --log-pid --page-server --log-pid --port 5 --no-tls"), 0);
	check_int(cli_refuse_later(&cli, VERB_DUMP, &err), -EOPNOTSUPP);
	check_str(err.text, "not supported yet: --log-pid, --page-server");
	check_int(cli_refuse_later(&cli, VERB_CHECK, &err), 0);
	check_int(parse("restore --page-server --deprecated --ghost-fiemap"), 0);
	check_int(cli_refuse_later(&cli, VERB_RESTORE, &err), 0);
}

static int config(const char *text)
{
	static char copy[1024];

	snprintf(copy, sizeof(copy), "%s", text);
	cli_done(&cli);
	cli_init(&cli);
	memset(&err, 0, sizeof(err));
	if (opt_parse_config(&cli_options, &cli, "x.conf", copy, &cli.config_rest, &err) < 0)
		return err.code;
	cli_settle(&cli);
	return 0;
}

TEST(configuration_files)
{
	check_int(config("# a comment\n\ntcp-established # why\n  ghost-limit 2M\n"
			 "images-dir=/a\nwork-dir = /b\nroot \"/with blank\"\n"
			 "action-script \"say \\\"x\\\"\"\nno-tcp-close\nverbosity 4\n"),
		  0);
	check(cli.ckpt.tcp_established);
	check_int(cli.ckpt.ghost_limit_bytes, 2 << 20);
	check_str(cli.ckpt.images_dir, "/a");
	check_str(cli.ckpt.work_dir, "/b");
	check_str(cli.ckpt.root, "/with blank");
	check_str(cli.scripts.v[0], "say \"x\"");
	check_int(cli.ckpt.log_level, 4);
	check_int(config("manage-cgroups\nexternal mnt[a]:/b\nexternal dev[c]:/d"), 0);
	check_int(cli.ckpt.externals.n, 2);
	check_int(cli.ckpt.cgroup_mode, CKPT_CG_SOFT);
}

TEST(errors_in_configuration_files)
{
	check_int(config("tcp-close\nbogus 1\n"), -EINVAL);
	check(strstr(err.text, "x.conf") && strstr(err.text, "line 2") &&
	      strstr(err.text, "bogus"));
	check_int(config("images-dir\n"), -EINVAL);
	check_int(config("tcp-close a b\n"), -EINVAL);
	check_int(config("config /x\n"), -EINVAL);
	check_int(config("help\n"), -EINVAL);
	check_int(config("dump\n"), -EINVAL);
}

TEST(the_command_line_wins)
{
	char path[] = "/tmp/ckpt-test-XXXXXX", line[128];
	int fd = mkstemp(path);

	check(fd >= 0 && write(fd, "images-dir /conf\nwork-dir /conf\ntcp-close\n", 42) == 42);
	snprintf(line, sizeof(line), "dump -D /line --config %s --no-tcp-close", path);
	check_int(parse(line), 0);
	check_str(cli.ckpt.images_dir, "/line");
	check_str(cli.ckpt.work_dir, "/conf");
	check(!cli.ckpt.tcp_close);
	close(fd);
	unlink(path);
	check_int(parse(line), -ENOENT);
	check(strstr(err.text, path) != NULL);
}

TEST(files_that_nobody_named_may_be_unreadable)
{
	char home[] = "/tmp/ckpt-test-XXXXXX", path[128];
	struct cli c;

	check(mkdtemp(home) != NULL);
	setenv("HOME", home, 1);
	/* a directory stands for a file that may not be read: root may read all others */
	snprintf(path, sizeof(path), "%s/.criu", home);
	check_int(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/.criu/default.conf", home);
	check_int(mkdir(path, 0700), 0);
	setenv("CRIU_CONFIG_FILE", "/nonexistent/x.conf", 1);
	check_int(cli_start(&c, false, &err), 0);
	cli_done(&c);
	check_int(rmdir(path), 0);
	check_int(symlink("/proc/self/environ", path), 0);
	check_int(cli_start(&c, false, &err), -EINVAL);
	check(strstr(err.text, "default.conf") != NULL);
	cli_done(&c);
	check_int(cli_start(&c, true, &err), 0);
	cli_done(&c);
	unlink(path);
	snprintf(path, sizeof(path), "%s/.criu", home);
	rmdir(path);
	rmdir(home);
	unsetenv("CRIU_CONFIG_FILE");
}

TEST(fields_of_requests)
{
	check_str(opt_find_rpc(&cli_options, 8)->name, "file-locks");
	check_str(opt_find_rpc(&cli_options, 71 - 1)->name, "display-stats");
	check(!opt_find_rpc(&cli_options, 0));
	check(!opt_find_rpc(&cli_options, 40));
	for (size_t i = 0; i < cli_options.n; i++)
		for (size_t j = i + 1; j < cli_options.n; j++)
			if (cli_options.v[i].rpc && cli_options.v[i].rpc == cli_options.v[j].rpc)
				test_fail(__FILE__, __LINE__, "%s and %s share field %u",
					  cli_options.v[i].name, cli_options.v[j].name,
					  cli_options.v[i].rpc);
}

TEST(table_is_sound)
{
	for (size_t i = 0; i < cli_options.n; i++) {
		const struct opt *a = &cli_options.v[i];

		check(a->verbs != 0);
		check(a->type != OPT_CALL || a->set);
		check(a->type != OPT_FLAG || !a->value);
		check((a->type != OPT_STRING && a->type != OPT_UINT && a->type != OPT_SIZE) ||
		      a->value);
		for (size_t j = i + 1; j < cli_options.n; j++) {
			const struct opt *b = &cli_options.v[j];

			if (!strcmp(a->name, b->name) || (a->letter && a->letter == b->letter))
				test_fail(__FILE__, __LINE__, "%s and %s collide", a->name,
					  b->name);
		}
	}
}

TEST(help_fits_80_columns)
{
	char *text = NULL, *line, *p;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	opt_print_help(&cli_options, VERB_ALL, out);
	fclose(out);
	for (p = text; (line = strsep(&p, "\n"));)
		if (strlen(line) > 80)
			test_fail(__FILE__, __LINE__, "too wide: %s", line);
	free(text);
}

TEST_MAIN()
