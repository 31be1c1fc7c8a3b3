<?php
/**
 * Plugin Name: Postmeter reference
 * Description: Tells Postmeter which order a mail is about, by a header field that does not leave the relay.
 * Version: 1.0.0
 *
 * Copy this file to wp-content/mu-plugins/. There is nothing to activate or to set.
 */

defined('ABSPATH') || exit;

/**
 * The header fields of a mail of WooCommerce, with the number of the order that it is about.
 *
 * @param string|string[] $headers  a text with a line for each field, or a list
 * @param string          $email_id which mail it is
 * @param mixed           $object   the order, the customer, the product …
 * @return string|string[]
 */
function postmeter_reference($headers, $email_id = '', $object = null)
{
    if (!$object instanceof WC_Order) {
        return $headers;
    }
    $number = preg_replace('~[^A-Za-z0-9._/+-]~', '', (string) $object->get_order_number());
    if ($number === '') {
        return $headers;
    }
    $field = 'X-Postmeter-Ref: order:' . $number;
    if (is_array($headers)) {
        return array_merge($headers, [$field]);
    }
    $headers = rtrim((string) $headers, "\r\n");

    return ($headers === '' ? '' : $headers . "\r\n") . $field . "\r\n";
}

add_filter('woocommerce_email_headers', 'postmeter_reference', 20, 3);
