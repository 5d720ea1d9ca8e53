/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every verb that is not ours goes to the container's runtime. We become it, so exit status,
 * standard streams and signals are its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/find.h"
#include "runtime/container.h"

/* The runtime that has a container of one of these names. */
static bool find_owner(const struct rt_options *o, char **words, enum oci_runtime *ret)
{
	struct find_result found;
	struct find_env env;
	struct err ignored = ERR_INIT;

	find_env_get(&env, o->root);
	for (; words && *words; words++) {
		if ((*words)[0] == '-' || find_check_id(*words, &ignored) < 0 ||
		    find_container(&env, *words, &found, &ignored) < 0)
			continue;
		*ret = found.runtime;
		return true;
	}
	return false;
}

static int choose(const struct rt_options *o, char **words, char *ret, size_t size, struct err *err)
{
	enum oci_runtime owner;
	int r = find_chosen(o->runtime, RT_CONFIG_FILE, ret, size, err);

	if (r == 0 || err->class != ERR_NONE)
		return r;
	if (find_owner(o, words, &owner) && find_in_path(find_runtime_name(owner), ret, size) == 0)
		return 0;
	if (find_in_path("crun", ret, size) == 0 || find_in_path("runc", ret, size) == 0)
		return 0;
	r = err_new(err, ERR_ENVIRONMENT, -ENOENT, "no container runtime is installed");
	err_hint(err, "install crun or runc, or name one with --runtime");
	return r;
}

/* Takes "--runtime X" and "--runtime=X" out, the only option that is ours alone. */
static void drop_own(char **argv)
{
	char **out = argv + 1;

	for (char **in = argv + 1; *in; in++) {
		const char *name = *in + strspn(*in, "-");

		if ((*in)[0] != '-') {
			while (*in) /* from the verb on nothing is ours */
				*out++ = *in++;
			break;
		}
		if (strncmp(name, "runtime=", 8) == 0)
			continue;
		if (strcmp(name, "runtime") == 0 && in[1]) {
			in++;
			continue;
		}
		*out++ = *in;
		/* the value of another option must not be taken for the verb */
		if (!strchr(name, '=') && in[1]) {
			const struct opt *opt = opt_find(&rt_global_options, name, strlen(name));

			if (opt && opt->value)
				*out++ = *++in;
		}
	}
	*out = NULL;
}

int rt_pass(const struct rt_options *o, char **argv, char **words, struct err *err)
{
	char program[PATH_MAX];
	int r = choose(o, words, program, sizeof(program), err);

	if (r < 0)
		return r;
	drop_own(argv);
	argv[0] = program;
	execv(program, argv);
	return err_sys(err, -errno, "running '%s'", program);
}
