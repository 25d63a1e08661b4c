<?php
// The classes of the PHP packages of gearman-conveyor as far as they are sent over Gearman, written from the lists of
// their properties: protected, in this order. Beside them a logger as Monolog has one, and a task of an application.

namespace React\FractalBasic\Inventory {
    // What comes before the properties of DTOs that start a process.
    abstract class BaseReactControlDto
    {
        protected $logger;
        protected $moduleName;

        public function getLogger() { return $this->logger; }
        public function getModuleName() { return $this->moduleName; }
        public function setUp($logger, $moduleName): static
        {
            [$this->logger, $this->moduleName] = [$logger, $moduleName];
            return $this;
        }
    }
}

namespace TasksInspector\Inventory {
    class ExecutionDto
    {
        protected $errorExist = false;
        protected $errorMessage;
        protected $executionMessage;
        protected $taskId;
        protected $criticalError = false;

        public function isErrorExist() { return $this->errorExist; }
        public function getErrorMessage() { return $this->errorMessage; }
        public function getExecutionMessage() { return $this->executionMessage; }
        public function getTaskId() { return $this->taskId; }
        public function isCriticalError() { return $this->criticalError; }
        public function done($message, $taskId): static
        {
            [$this->executionMessage, $this->taskId] = [$message, $taskId];
            return $this;
        }
        public function failed($message, $taskId, bool $critical = false): static
        {
            [$this->errorExist, $this->errorMessage, $this->taskId] = [true, $message, $taskId];
            $this->criticalError = $critical;
            return $this;
        }
    }
}

namespace Gearman\Conveyor\Inventory {
    class GearmanDto
    {
        protected $managerType;
        protected $processManagerDto;
        protected $taskId;

        public function __construct($managerType, $processManagerDto, $taskId)
        {
            [$this->managerType, $this->processManagerDto, $this->taskId] = [$managerType, $processManagerDto, $taskId];
        }
        public function getManagerType() { return $this->managerType; }
        public function getProcessManagerDto() { return $this->processManagerDto; }
        public function getTaskId() { return $this->taskId; }
    }

    abstract class AdaptedDto
    {
        protected $taskId;

        public function getTaskId() { return $this->taskId; }
        public function setTaskId($taskId): static { $this->taskId = $taskId; return $this; }
    }
}

namespace React\ProcessManager\Inventory {
    class PmLmSocketsParamsDto
    {
        protected $pmLmRequestAddress;

        public function __construct($address) { $this->pmLmRequestAddress = $address; }
        public function getPmLmRequestAddress() { return $this->pmLmRequestAddress; }
    }

    class ProcessManagerDto extends \React\FractalBasic\Inventory\BaseReactControlDto
    {
        protected $pmLmSocketsParams;
        protected $tasksNumber;
        protected $workerProcessCommand;
        protected $loadManagerProcessCommand;
        protected $loadManagerDto;
        protected $performerSocketsParams;
        protected $maxSimultaneousProcesses;
        protected $interMessageInterval = 1000000;

        public function with(string $property, $value): static { $this->$property = $value; return $this; }
        public function getPmLmSocketsParams() { return $this->pmLmSocketsParams; }
        public function getTasksNumber() { return $this->tasksNumber; }
        public function getWorkerProcessCommand() { return $this->workerProcessCommand; }
        public function getLoadManagerProcessCommand() { return $this->loadManagerProcessCommand; }
        public function getLoadManagerDto() { return $this->loadManagerDto; }
        public function getPerformerSocketsParams() { return $this->performerSocketsParams; }
        public function getMaxSimultaneousProcesses() { return $this->maxSimultaneousProcesses; }
        public function getInterMessageInterval() { return $this->interMessageInterval; }
    }
}

namespace React\ProcessManager\LoadManager\Inventory {
    class LoadManagerDto extends \React\FractalBasic\Inventory\BaseReactControlDto
    {
        protected $pmLmSocketsParams;
        protected $pids;
        protected $memFreeUsagePercentageLimit = 50;
        protected $memFreeUsagePercentageLimitPerProcess;
        protected $cpuUsagePercentageLimit = 100;
        protected $cpuGapPercentage;
        protected $allowedPercentageToSubtractFromReserved = 10;
        protected $idleZeroValueCheckSizeBeforeAttention = 200;
        protected $pauseForbidden;
        protected $minMemFreeSize;
        protected $standardMemoryGap;

        public function with(string $property, $value): static { $this->$property = $value; return $this; }
        public function getPmLmSocketsParams() { return $this->pmLmSocketsParams; }
        public function getMemFreeUsagePercentageLimit() { return $this->memFreeUsagePercentageLimit; }
        public function getCpuUsagePercentageLimit() { return $this->cpuUsagePercentageLimit; }
        public function isPauseForbidden() { return $this->pauseForbidden; }
        public function getAllowedPercentageToSubtractFromReserved() { return $this->allowedPercentageToSubtractFromReserved; }
    }
}

namespace React\PublisherPulsar\Inventory {
    class PerformerSocketsParamsDto
    {
        protected $requestPulsarRsSocketAddress;
        protected $publisherPulsarSocketAddress;
        protected $pushPulsarSocketAddress;
        protected $publisherPmSocketAddress;

        public function __construct($publisherPm) { $this->publisherPmSocketAddress = $publisherPm; }
        public function all(): array { return array_values(get_object_vars($this)); }
    }
}

namespace Monolog\Handler {
    abstract class AbstractHandler
    {
        protected int $level = 100;
        protected bool $bubble = true;
    }

    class StreamHandler extends AbstractHandler
    {
        protected $stream = null;
        protected ?string $url;
        private ?string $errorMessage = null;
        protected $formatter = null;

        public function __construct(?string $url) { $this->url = $url; }
    }
}

namespace Monolog {
    class Logger
    {
        protected string $name;
        protected array $handlers;
        protected array $processors = [];
        protected bool $microsecondTimestamps = true;
        protected \DateTimeZone $timezone;
        protected $exceptionHandler = null;
        private int $logDepth = 0;
        private ?\ArrayObject $fiberLogDepth;

        public function __construct(string $name)
        {
            $this->name = $name;
            $this->handlers = [new Handler\StreamHandler('php://stderr')];
            $this->timezone = new \DateTimeZone('Europe/Berlin');
            $this->fiberLogDepth = new \ArrayObject();
        }
        public function getName() { return $this->name; }
    }
}

namespace Application {
    class ResizeDto extends \Gearman\Conveyor\Inventory\AdaptedDto
    {
        private $file;
        protected $width = 640;

        public function __construct($taskId, $file) { $this->setTaskId($taskId); $this->file = $file; }
        public function getFile() { return $this->file; }
    }

    function resize_of($value): array
    {
        return is_array($value) ? [$value['task_id'], $value['file']] : [$value->getTaskId(), $value->getFile()];
    }

    /** A manager task with everything set, its logger and one of its addresses shared. */
    function manager_task(): \Gearman\Conveyor\Inventory\GearmanDto
    {
        $logger = new \Monolog\Logger('application');
        $sockets = new \React\ProcessManager\Inventory\PmLmSocketsParamsDto('tcp://127.0.0.1:6267');
        $load = (new \React\ProcessManager\LoadManager\Inventory\LoadManagerDto())->setUp($logger, 'load manager')
            ->with('pmLmSocketsParams', $sockets)->with('memFreeUsagePercentageLimit', 30)
            ->with('cpuUsagePercentageLimit', 80)->with('pauseForbidden', true);
        $process = (new \React\ProcessManager\Inventory\ProcessManagerDto())->setUp($logger, 'process manager')
            ->with('pmLmSocketsParams', $sockets)->with('tasksNumber', 20)
            ->with('workerProcessCommand', 'php performer.php')->with('loadManagerProcessCommand', 'php lm.php')
            ->with('loadManagerDto', $load)->with('maxSimultaneousProcesses', 3)
            ->with('performerSocketsParams', new \React\PublisherPulsar\Inventory\PerformerSocketsParamsDto('tcp://127.0.0.1:6268'));
        return new \Gearman\Conveyor\Inventory\GearmanDto('REACT_PROCESS_MANAGER', $process, 'pm-1');
    }

    /** What the getters of a manager task say. */
    function told(\Gearman\Conveyor\Inventory\GearmanDto $task): array
    {
        $process = $task->getProcessManagerDto();
        $load = $process->getLoadManagerDto();
        return [
            'managerType' => $task->getManagerType(),
            'taskId' => $task->getTaskId(),
            'tasksNumber' => $process->getTasksNumber(),
            'command' => $process->getWorkerProcessCommand(),
            'loadManager' => $process->getLoadManagerProcessCommand(),
            'most' => $process->getMaxSimultaneousProcesses(),
            'interval' => $process->getInterMessageInterval(),
            'memory' => $load->getMemFreeUsagePercentageLimit(),
            'cpu' => $load->getCpuUsagePercentageLimit(),
            'pauseForbidden' => $load->isPauseForbidden(),
            'subtract' => $load->getAllowedPercentageToSubtractFromReserved(),
            'endpoints' => $process->getPerformerSocketsParams()?->all(),
            'sockets' => $process->getPmLmSocketsParams()?->getPmLmRequestAddress(),
            'sameSockets' => $process->getPmLmSocketsParams() === $load->getPmLmSocketsParams(),
            'logger' => $process->getLogger()?->getName(),
            'sameLogger' => $process->getLogger() === $load->getLogger(),
            'modules' => [$process->getModuleName(), $load->getModuleName()],
        ];
    }
}
