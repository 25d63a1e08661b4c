/* The worker of libgearman: HOST PORT FUNCTION, as worker.rs beside it. */
#include <libgearman-1.0/gearman.h>
#include <stdlib.h>
#include <string.h>

static void *echo(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  void *result = malloc(gearman_job_workload_size(job) + 1);
  (void)context;
  *size = gearman_job_workload_size(job);
  *ret = GEARMAN_SUCCESS;
  return memcpy(result, gearman_job_workload(job), *size);
}

int main(int argc, char **argv) {
  gearman_worker_st *worker = gearman_worker_create(NULL);
  if (argc != 4 || worker == NULL) return 2;
  gearman_worker_add_server(worker, argv[1], (in_port_t)atoi(argv[2]));
  gearman_worker_add_function(worker, argv[3], 0, echo, NULL);
  while (gearman_worker_work(worker) == GEARMAN_SUCCESS) {
  }
  return 1;
}
