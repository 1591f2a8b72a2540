// NVML as far as Paddock asks it, with what the text file $FAKE_NVML says. Lines:
//   driver 570.86.10 12080
//   card UUID NAME TOTAL FREE MAJOR MINOR CELSIUS MEGAHERTZ TOP REASONS     (in NAME _ stands for a space; -1: not known)
//   process CARD PID BYTES PATH
// Source of names and numbers: nvml.h of the CUDA toolkit.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, UNKNOWN = 999 };
enum { MOST = 16 };

typedef struct { char uuid[96], name[96]; long long total, free; int major, minor, celsius, mhz, top; long long reasons; } Card;
typedef struct { int card; unsigned pid; long long bytes; char path[256]; } Process;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } ProcessInfo;

static char driver[80];
static int cuda, cards, processes;
static Card card[MOST];
static Process process[MOST];

static int reload(void) {
  const char *path = getenv("FAKE_NVML");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[1024];
  if (!file) return UNKNOWN;
  cards = processes = 0;
  while (fgets(line, sizeof line, file)) {
    Card *c = &card[cards];
    Process *p = &process[processes];
    sscanf(line, "driver %79s %d", driver, &cuda);
    if (cards < MOST && sscanf(line, "card %95s %95s %lld %lld %d %d %d %d %d %lld", c->uuid, c->name, &c->total,
                               &c->free, &c->major, &c->minor, &c->celsius, &c->mhz, &c->top, &c->reasons) == 10) {
      for (char *at = c->name; *at; at++) if (*at == '_') *at = ' ';
      cards++;
    }
    if (processes < MOST && sscanf(line, "process %d %u %lld %255s", &p->card, &p->pid, &p->bytes, p->path) == 4)
      processes++;
  }
  fclose(file);
  return SUCCESS;
}

static int give(long long value, unsigned *into) {
  if (value < 0) return NOT_SUPPORTED;
  *into = (unsigned)value;
  return SUCCESS;
}

int nvmlInit_v2(void) { return reload(); }
int nvmlInitWithFlags(unsigned flags) { return reload(); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlSystemGetDriverVersion(char *into, unsigned size) { snprintf(into, size, "%s", driver); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *into) { *into = cuda; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *into) { *into = cards; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Card **into) { *into = &card[index]; return SUCCESS; }
int nvmlDeviceGetUUID(Card *c, char *into, unsigned size) { snprintf(into, size, "%s", c->uuid); return SUCCESS; }
int nvmlDeviceGetName(Card *c, char *into, unsigned size) { snprintf(into, size, "%s", c->name); return SUCCESS; }
int nvmlDeviceGetTemperature(Card *c, int sensor, unsigned *into) { return give(c->celsius, into); }
int nvmlDeviceGetClockInfo(Card *c, int type, unsigned *into) { return give(c->mhz, into); }
int nvmlDeviceGetMaxClockInfo(Card *c, int type, unsigned *into) { return give(c->top, into); }
int nvmlDeviceGetComputeRunningProcesses_v3(Card *c, unsigned *count, ProcessInfo *into);

int nvmlDeviceGetMemoryInfo(Card *c, Memory *into) {
  if (c->total < 0) return NOT_SUPPORTED;
  into->total = c->total, into->free = c->free, into->used = c->total - c->free;
  return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(Card *c, int *major, int *minor) {
  *major = c->major, *minor = c->minor;
  return c->major < 0 ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Card *c, unsigned long long *into) {
  *into = c->reasons;
  return c->reasons < 0 ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Card *c, unsigned *count, ProcessInfo *into) {
  unsigned found = 0;
  for (int at = 0; at < processes; at++)
    if (process[at].card == c - card && found++ < *count && into)
      into[found - 1] = (ProcessInfo){process[at].pid, process[at].bytes, ~0u, ~0u};
  int fits = found <= *count;
  *count = found;
  return fits ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Card *c, unsigned *count, ProcessInfo *into) {
  *count = 0;
  return SUCCESS;
}

int nvmlSystemGetProcessName(unsigned pid, char *into, unsigned size) {
  for (int at = 0; at < processes; at++)
    if (process[at].pid == pid) return snprintf(into, size, "%s", process[at].path), SUCCESS;
  return NOT_SUPPORTED;
}
