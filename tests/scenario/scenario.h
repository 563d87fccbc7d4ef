/* SPDX-License-Identifier: MIT */
/* Scenarios: one rule of the protocol, told by a short script to the simulator's nodes, and what
 * they then said to each other and to the host, compared line by line (docs/testing.md). Nothing is
 * left to chance: links and disks take the same time always, and nothing fails unless the script
 * says so. */
#ifndef DP_TESTS_SCENARIO_SCENARIO_H
#define DP_TESTS_SCENARIO_SCENARIO_H

#include <stdio.h>

#include "host.h"
#include "world.h"

#define SCENARIO_FATES 8
/* What `until` waits for happens within this time, whichever message fails: the longest that a node
 * waits before it asks again is 5 s. */
#define SCENARIO_LIMIT_US 10000000

/* What is to happen to the next messages of a type on a link. */
struct fate {
	const struct node *from, *to;
	uint8_t type;
	enum sim_fate fate;
	unsigned count; /* 0: not in use */
};

/* What a link showed last in one direction: probes that tell nothing new are left out. */
struct shown {
	uint64_t session, cached, committed, agreed, sent;
	bool probe; /* the last thing sent down was left out, and so is an answer that is not new */
};

/* What the trace said last of a node's state. */
struct state {
	bool up, building;
	enum dp_core_state core;
	enum dp_down_state down[DP_DOWN_MAX];
	uint64_t away, generation, last;
};

/* One message of the whole network fails, the n-th of those that the script leaves alone; or, to
 * starve, the n-th allocation of the nodes. */
struct nth {
	enum sim_fate fate; /* SIM_PASS: none does */
	unsigned n;         /* from 0 */
};

struct scenario {
	struct sim sim; /* first: a watch is given it, and finds the rest */
	const char *file;
	unsigned line; /* of the script, being carried out */
	FILE *trace;
	bool quiet, started;
	uint64_t origin_us; /* times of the trace count from here */
	struct fate fates[SCENARIO_FATES];
	struct nth nth;
	unsigned messages;             /* or allocations: so many had the script left alone */
	struct shown shown[SIM_NODES]; /* by the node at the lower end */
	struct state states[SIM_NODES];
};

/* ---- script.c ---- */

/* Carries out the script and writes the trace. A mistake in it ends the process. */
void script_run(struct scenario *s, FILE *script);

/* ---- main.c ---- */

/* Runs a script; where a message is to fail, all is healed in the end, and must converge. Whether
 * it came to that message. The trace is the caller's to free. */
bool scenario_run(const char *file, struct nth nth, char **trace);

/* ---- each.c ---- */

/* Runs a script again and again, in run n with message n failing, until none is left, in each way.
 */
void each_message(const char *file);
void each_allocation(const char *file);             /* the same with the nodes' allocations */
bool each_parse(const char *text, struct nth *nth); /* WAY:N */

/* How a message fails. */
struct way {
	const char *name, *told;
	enum sim_fate fate;
};
const struct way *each_way(enum sim_fate fate); /* NULL: not in the loop */

/* ---- trace.c ---- */

extern const struct sim_watch trace_watch;
void trace_line(struct scenario *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace_states(struct scenario *s, bool tell); /* notes them, and tells what changed */
uint8_t trace_type(const char *name);             /* a message's type; 0: there is none such */

#endif
