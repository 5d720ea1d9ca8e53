/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what is known about a container to the options with which the engine is called. */
#include "runtime/prepare.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GLOBAL_CONFIG "/etc/criu/default.conf"

int prepare_plan(struct prepared *p, const struct oci_spec *spec, const struct oci_state *state,
		 const struct oci_choices *choices, struct err *err)
{
	struct oci_choices c = *choices;
	int r;

	cli_init(&p->defaults);
	r = cli_read_config(&p->defaults, GLOBAL_CONFIG, false, err);
	if (r < 0)
		return r;
	c.defaults = &p->defaults.ckpt;
	return oci_plan_make(&p->plan, spec, state, &c, &p->view.facts, err);
}

int prepare_dump(struct prepared *p, const struct container *c, const struct rt_options *o,
		 struct err *err)
{
	struct oci_choices choices = o->choices;
	int r = hostview_for_dump(&p->view, &c->spec, &c->state, err);

	choices.direction = o->pre_dump ? OCI_PRE_DUMP : OCI_DUMP;
	return r == 0 ? prepare_plan(p, &c->spec, &c->state, &choices, err) : r;
}

/* Appends n elements of a list to a growing one. */
#define append(vec, list, n)                                     \
	({                                                       \
		int _r = 0;                                      \
		for (size_t _i = 0; _r == 0 && _i < (n); _i++) { \
			__typeof__((vec)->v) _at = vec_add(vec); \
			if (_at)                                 \
				*_at = (list)[_i];               \
			else                                     \
				_r = -ENOMEM;                    \
		}                                                \
		_r;                                              \
	})

static int copy_lists(struct cli *cli, const struct ckpt_options *o)
{
	int r = append(&cli->ext_mounts, o->ext_mounts.v, o->ext_mounts.n);

	if (r == 0)
		r = append(&cli->cgroup_roots, o->cgroup_roots.v, o->cgroup_roots.n);
	if (r == 0)
		r = append(&cli->externals, o->externals.v, o->externals.n);
	if (r == 0)
		r = append(&cli->skip_mounts, o->skip_mounts.v, o->skip_mounts.n);
	if (r == 0)
		r = append(&cli->irmap_scan_paths, o->irmap_scan_paths.v, o->irmap_scan_paths.n);
	if (r == 0)
		r = append(&cli->enable_fs, o->enable_fs.v, o->enable_fs.n);
	if (r == 0)
		r = append(&cli->inherit_fds, o->inherit_fds, o->n_inherit_fds);
	if (r == 0)
		r = append(&cli->join_ns, o->join_ns, o->n_join_ns);
	return r;
}

static int read_config(struct prepared *p, struct err *err)
{
	const struct ckpt_strings *files = &p->plan.config_files;

	for (size_t i = 0; i < files->n; i++) {
		if (!p->plan.config_required && access(files->v[i], F_OK) < 0)
			continue;
		return cli_read_config(&p->cli, files->v[i], p->plan.config_required, err);
	}
	return 0;
}

int prepare_options(struct prepared *p, enum verb verb, struct err *err)
{
	int r;

	cli_init(&p->cli);
	p->cli.ckpt = p->plan.options;
	r = copy_lists(&p->cli, &p->plan.options);
	/* the lists of the general file add up with the plan's; its words are older */
	cli_settle(&p->defaults);
	if (r == 0)
		r = copy_lists(&p->cli, &p->defaults.ckpt);
	if (r == 0)
		r = append(&p->cli.scripts, p->defaults.scripts.v, p->defaults.scripts.n);
	if (r < 0)
		return err_nomem(err);
	r = read_config(p, err);
	cli_settle(&p->cli);
	if (r == 0)
		r = cli_refuse_later(&p->defaults, verb, err);
	return r == 0 ? cli_refuse_later(&p->cli, verb, err) : r;
}

void prepare_warn(const struct prepared *p)
{
	for (size_t i = 0; i < p->plan.warnings.n; i++)
		fprintf(stderr, "crun-criu: warning: %s\n", p->plan.warnings.v[i]);
}

void prepared_done(struct prepared *p)
{
	oci_plan_done(&p->plan);
	hostview_done(&p->view);
	cli_done(&p->cli);
	cli_done(&p->defaults);
}
