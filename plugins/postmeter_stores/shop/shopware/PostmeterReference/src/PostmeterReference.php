<?php declare(strict_types=1);

namespace PostmeterReference;

use Shopware\Core\Framework\Plugin;

class PostmeterReference extends Plugin
{
}
