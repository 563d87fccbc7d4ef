/* SPDX-License-Identifier: MIT */
/* The simulated host: writes tagged blocks, replays after a controller's restart, checks reads. */
#ifndef DP_TESTS_SIM_HOST_H
#define DP_TESTS_SIM_HOST_H

#include "sim.h"

void host_make(struct sim *sim);     /* asks for nothing by itself */
void host_start(struct sim *sim);    /* the same, and works at random from then on */
void host_finish(struct sim *sim);   /* no new work; ends with a flush */
void host_resubmit(struct sim *sim); /* the controller is back */
void host_reply(struct sim *sim, void *tag, int err, struct dp_buf *data);
/* What a script asks for, of the first volume; its answer is checked like any other. */
struct host_wish {
	uint8_t op, flags; /* op 0: read */
	uint32_t block, blocks;
};
unsigned host_ask(struct sim *sim, const struct host_wish *wish); /* its number, from 1 */
unsigned host_waiting(const struct sim *sim); /* requests that are not answered yet */

bool host_idle(const struct sim *sim);
unsigned host_requests(const struct sim *sim);
struct dp_position host_answered(const struct sim *sim);  /* the newest record answered */
void host_check(struct sim *sim, struct dp_position end); /* all answered requests are in it once */
void host_free(struct sim *sim);

#endif
