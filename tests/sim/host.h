/* The simulated host: writes tagged blocks, replays after a controller's restart, checks reads. */
#ifndef DP_TESTS_SIM_HOST_H
#define DP_TESTS_SIM_HOST_H

#include "sim.h"

void host_start(struct sim *sim);
void host_finish(struct sim *sim);   /* no new work; ends with a flush */
void host_resubmit(struct sim *sim); /* the controller is back */
void host_reply(struct sim *sim, void *tag, int err, struct dp_buf *data);
bool host_idle(const struct sim *sim);
unsigned host_requests(const struct sim *sim);
struct dp_position host_answered(const struct sim *sim); /* the newest record answered */
void host_check(struct sim *sim, struct dp_position end); /* all answered requests are in it once */
void host_free(struct sim *sim);

#endif
