/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what is known about a container to the options with which the engine is called. */
#pragma once

#include "runtime/container.h"
#include "runtime/hostview.h"
#include "runtime/options.h"
#include "runtime/saved.h"

struct prepared {
	struct hostview view;
	struct oci_plan plan;
	struct cli defaults; /* of the configuration file for every use of the engine */
	struct cli cli; /* the plan's options, and over them the container's configuration file */
};

/* Makes the plan of a checkpoint. To be freed with prepared_done() in either case. */
int prepare_dump(struct prepared *p, const struct container *c, const struct rt_options *o,
		 struct err *err) __attribute__((warn_unused_result));

/* Makes a plan from what view holds already. */
int prepare_plan(struct prepared *p, const struct oci_spec *spec, const struct oci_state *state,
		 const struct oci_choices *choices, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Completes p->cli from the plan and the configuration files. Lists may still be added to
 * afterwards, with cli_settle(). verb is for options that are refused.
 */
int prepare_options(struct prepared *p, enum verb verb, struct err *err)
	__attribute__((warn_unused_result));

/* Tells the plan's warnings on standard error. */
void prepare_warn(const struct prepared *p);

void prepared_done(struct prepared *p);

static inline void cleanup_preparedp(struct prepared *p)
{
	prepared_done(p);
}
#define cleanup_prepared __attribute__((cleanup(cleanup_preparedp)))
